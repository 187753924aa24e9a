// The fluid engine's replays against SimGrid's.
#include "sim/engine_difference.hpp"

#include <string>
#include <utility>

#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

TEST_CASE("engines: both replay every schedule alike", "[sim][engine][replay][slow]") {
    const std::pair<const char*, const char*> cases[] = {{"dualpipe", "h800_8x8"},
                                                         {"dualpipev", "cpu_8x2"},
                                                         {"1f1b", "h800_8x8"},
                                                         {"zb1p", "cpu_8x2"},
                                                         {"interleaved", "h800_8x8"}};
    for (const auto& [schedule, cluster] : cases) {
        INFO(schedule << " on " << cluster);
        const Simulation simulation = test::simulated(test::tiny_h800_setting(
            schedule, 2,
            {std::string("cluster=") + cluster, "plan.data_parallel=8", "plan.expert_parallel=8",
             "plan.comm_sms=0", "replay.engine=both"}));
        REQUIRE(simulation.engine_difference.has_value());
        CHECK(simulation.counts.flows > 0);
        CHECK(simulation.engine_difference->op_max < 1e-9);
    }
}

TEST_CASE("engines: links that are 1 % slower show", "[sim][engine][replay]") {
    const Simulation simulation = test::simulated(
        test::tiny_h800_setting("1f1b", 2, {"cluster.nic.bandwidth_gb_per_s=0.05"}));
    ReplayDag slower = simulation.dag;
    for (EngineNetwork::Endpoint& endpoint : slower.network.endpoints) {
        endpoint.up = BytesPerSecond(0.99 * endpoint.up.value());
        endpoint.down = BytesPerSecond(0.99 * endpoint.down.value());
    }
    const EngineDifference difference = engine_difference(
        simulation.timeline, replay(slower, *make_engine(Engine::fluid, slower.network)));
    // Expert exchanges are bound by what their kernels reach, messages and collectives by links.
    CHECK(difference.step > 1e-4);
    CHECK(difference.step < 1 / 0.99 - 1);
    CHECK(difference.op_max >= difference.step);
}

}  // namespace
}  // namespace r1
