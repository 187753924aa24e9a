// Replays whose kernels take what a timeline says: against the step that made the timeline, and
// against sums worked out by hand.
#include <string>
#include <vector>

#include "sim/lowering.hpp"
#include "sim/recorded_times.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

Simulation simulated(const Setting& setting) {
    Simulation simulation = prepare(setting);
    replay(setting, simulation);
    return simulation;
}

// The step on that setting's cluster, with the kernels of `step`.
TimePs replayed_with(const Setting& setting, const Simulation& planned, const CapturedStep& step) {
    ReplayDag dag = lower(setting, planned);
    take_recorded_times(dag, planned.graph, step);
    return replay(dag, *make_engine(Engine::fluid, dag.network)).makespan();
}

Setting prefill_setting() {
    std::vector<std::string> notes;
    return read_setting(load_scenario(data_root() / "scenarios" / "tiny_prefill_cpu.json", {}),
                        notes);
}

// One rank whose kernels take 1 us, 2 us, 3 us, …, each 5 us after the one before.
CapturedStep measured_by_hand(const ExecutionGraph& graph) {
    constexpr TimePs kMicrosecond = 1'000'000;
    CapturedStep step{{{{RankId(0), 0, 1}}, {}}, true, "by hand"};
    TimePs time = 0;
    TimePs length = kMicrosecond;
    const std::vector<Item>& items = graph.programs().front().items;
    for (std::uint32_t item = 0; item < items.size(); ++item) {
        const std::size_t ops = graph.chunk(items[item].chunk).ops.size();
        for (std::uint32_t op = 0; op < ops; ++op) {
            step.timeline.intervals.push_back({{0, item, op}, 0, time, time + length});
            time += length + 5 * kMicrosecond;
            length += kMicrosecond;
        }
    }
    return step;
}

TEST_CASE("recorded times: a step replays in its own time with its own timeline",
          "[sim][recorded]") {
    for (const char* change :
         {"replay.fold=stage", "replay.fold=none", R"(replay.stragglers={"per_chunk": 0.1})"}) {
        INFO(change);
        const Setting setting = test::tiny_h800_setting("dualpipe", 2, {change});
        const Simulation step = simulated(setting);
        const TimePs again = replayed_with(setting, step, {step.timeline, false, "simulated"});
        // Each of some thousand kernels is rounded to a picosecond.
        CHECK(static_cast<double>(again) ==
              Approx(static_cast<double>(step.timeline.makespan())).epsilon(1e-7));
    }
}

TEST_CASE("recorded times: on another network, only communication changes", "[sim][recorded]") {
    const Setting setting = test::tiny_h800_setting("1f1b", 2);
    const Setting slow = test::tiny_h800_setting("1f1b", 2, {"cluster.nic.bandwidth_gb_per_s=2"});
    const Simulation step = simulated(setting);
    const TimePs replayed = replayed_with(slow, step, {step.timeline, false, "simulated"});
    CHECK(static_cast<double>(replayed) ==
          Approx(static_cast<double>(simulated(slow).timeline.makespan())).epsilon(1e-7));
    CHECK(replayed > step.timeline.makespan());
}

TEST_CASE("recorded times: measured kernels take their time, and what lies between is left out",
          "[sim][recorded]") {
    const Setting setting = prefill_setting();
    Simulation simulation = prepare(setting);
    const CapturedStep step = measured_by_hand(simulation.graph);
    simulation.dag = lower(setting, simulation);
    take_recorded_times(simulation.dag, simulation.graph, step);
    const Timeline timeline =
        replay(simulation.dag, *make_engine(Engine::fluid, simulation.dag.network));
    REQUIRE(timeline.intervals.size() == step.timeline.intervals.size());
    TimePs kernels = 0;
    for (std::size_t i = 0; i < timeline.intervals.size(); ++i) {
        const Interval& replayed = timeline.intervals[i];
        const Interval& measured = step.timeline.intervals[i];
        const TimePs length = replayed.end - replayed.start;
        const Item& item = simulation.graph.programs().front().items[replayed.op.item];
        if (simulation.graph.chunk(item.chunk).ops[replayed.op.op].compute() == nullptr) {
            CHECK(length == 0);  // a rank that exchanges with nobody
        } else {
            CHECK(std::abs(length - (measured.end - measured.start)) <= 2);
            kernels += measured.end - measured.start;
        }
    }
    CHECK(timeline.makespan() == kernels);
}

TEST_CASE("recorded times: a timeline without a lane or an op of the graph is refused",
          "[sim][recorded]") {
    const Setting setting = prefill_setting();
    const Simulation simulation = prepare(setting);
    const auto refused = [&](const CapturedStep& step) {
        ReplayDag dag = lower(setting, simulation);
        try {
            take_recorded_times(dag, simulation.graph, step);
        } catch (const InputError& error) {
            return error.diagnostics().front().message;
        }
        return std::string();
    };
    CapturedStep step = measured_by_hand(simulation.graph);
    CHECK(refused(step).empty());
    step.timeline.intervals.erase(step.timeline.intervals.begin() + 3);
    CHECK(refused(step).find("lacks op 3 of item 0 of rank 0: ") == 0);
    step.timeline.lanes.front().program = 1;
    CHECK(refused(step).find("has no lane for rank 0") == 0);
}

}  // namespace
}  // namespace r1
