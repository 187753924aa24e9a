// The least time of activities and steps, by hand and against a replay that nothing contends in.
#include "sim/search/least_times.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

TEST_CASE("least times: an activity alone takes its delay and its busiest link", "[sim][search]") {
    // Two endpoints of 10 B/s. 30 B in three flows leave a, 50 B arrive at b: 5 s, after 1 s.
    EngineNetwork network;
    network.compute = {"sms"};
    network.endpoints = {{"a", BytesPerSecond(10), BytesPerSecond(10), {}},
                         {"b", BytesPerSecond(10), BytesPerSecond(10), {}}};
    Activity activity;
    activity.delay = Seconds(1);
    activity.flows = {{EndpointId(0), EndpointId(1), Bytes(10), 3},
                      {EndpointId(), EndpointId(1), Bytes(20)}};
    CHECK(least_time(activity, network).value() == Approx(1 + 5));
    // A cap of 1 B/s on one of 10 B is slower than any link.
    activity.flows[0].rate_max = BytesPerSecond(1);
    CHECK(least_time(activity, network).value() == Approx(1 + 10));
    activity.compute = ComputeId(0);
    activity.compute_time = Seconds(12);
    CHECK(least_time(activity, network).value() == Approx(1 + 12));
}

TEST_CASE("least times: without contention, a replay takes them", "[sim][search]") {
    // A forward pass on one rank: nothing shares anything.
    const Setting setting = test::tiny_setting(
        {"plan.pipeline_parallel=1", "plan.data_parallel=1", "plan.expert_parallel=1",
         R"(workload={"kind": "prefill", "sequence_length": 64, "global_batch_sequences": 3})",
         "replay.engine=fluid"});
    const Simulation simulation = test::simulated(setting);
    const LeastTimes times = least_times(simulation.dag);
    CHECK(times.makespan == Approx(from_ps(simulation.timeline.makespan()).value()).epsilon(1e-9));
    // On the longest path, begin, time and rest add up to the whole.
    for (std::size_t node = 0; node < times.start.size(); ++node) {
        CHECK(times.start[node] + times.duration[node] + times.tail[node] <=
              times.makespan * (1 + 1e-12));
    }
    // Kernels of half the time: the rest stays.
    const double faster = least_times(simulation.dag, 0.5).makespan;
    CHECK(faster < times.makespan);
    CHECK(faster >= times.makespan / 2);
}

}  // namespace
}  // namespace r1
