// Foldings against each other: where ranks do the same, they give the same times; what they leave
// out is counted.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

// 64 GPUs: experts over four nodes of eight, two groups of them on each of one or two pipeline
// ranks.
Simulation folded(const std::string& fold, const std::string& schedule,
                  std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.end(),
                     {"replay.fold=" + fold, "replay.engine=fluid", "plan.data_parallel=32",
                      "plan.expert_parallel=16", "workload.global_batch_sequences=384"});
    return test::simulated(test::tiny_h800_setting(schedule, 2, overrides));
}

// Of an op of the timeline's first lane of each program, by program.
std::vector<Interval> first_lanes(const Timeline& timeline) {
    std::vector<Interval> intervals;
    std::int32_t program = -1;
    std::uint32_t first = 0;
    for (std::uint32_t lane = 0; lane < timeline.lanes.size(); ++lane) {
        if (timeline.lanes[lane].program == program) {
            continue;
        }
        program = timeline.lanes[lane].program;
        first = lane;
        for (const Interval& interval : timeline.intervals) {
            if (interval.op.lane == first) {
                intervals.push_back(interval);
                intervals.back().op.lane = static_cast<std::uint32_t>(program);
            }
        }
    }
    return intervals;
}

void check_same_times(const Simulation& a, const Simulation& b) {
    const std::vector<Interval> x = first_lanes(a.timeline);
    const std::vector<Interval> y = first_lanes(b.timeline);
    REQUIRE(x.size() == y.size());
    std::int64_t different = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        REQUIRE(x[i].op == y[i].op);
        different += std::max(std::abs(x[i].start - y[i].start), std::abs(x[i].end - y[i].end)) > 2;
    }
    CHECK(different == 0);
}

}  // namespace

TEST_CASE("folding: ranks that do the same take the same time, folded or not", "[sim][folding]") {
    for (const std::string schedule : {"dualpipe", "1f1b"}) {
        INFO(schedule);
        const Simulation stage = folded("stage", schedule);
        const Simulation group = folded("ep_group", schedule);
        const Simulation all = folded("none", schedule);
        CHECK(stage.timeline.lanes.size() == 2);
        CHECK(group.timeline.lanes.size() == 32);
        CHECK(all.timeline.lanes.size() == 64);
        check_same_times(stage, group);
        check_same_times(stage, all);
    }
}

TEST_CASE("folding: tensor-parallel groups take the same time, folded or not", "[sim][folding]") {
    const auto simulated = [&](const std::string& fold) {
        return test::simulated(test::tiny_h800_setting(
            "dualpipe", 2,
            {"replay.fold=" + fold, "plan.tensor_parallel=2", "plan.data_parallel=16",
             "workload.global_batch_sequences=128"}));
    };
    const Simulation stage = simulated("stage");
    const Simulation all = simulated("none");
    // Experts get what the rank's own part of the tokens brings.
    const Simulation alone = test::simulated(test::tiny_h800_setting("dualpipe", 2));
    const auto rows = static_cast<std::size_t>(Symbol::routed_rows);
    CHECK(2 * stage.symbols[rows] == alone.symbols[rows]);
    CHECK(all.timeline.lanes.size() == 64);
    check_same_times(stage, simulated("ep_group"));
    check_same_times(stage, all);
}

TEST_CASE("folding: without folding there is a flow for each pair that bytes go between",
          "[sim][folding]") {
    const Simulation all = folded("none", "1f1b");
    std::int64_t exchanges = 0;
    std::int64_t others = 0;
    all.dag.for_each_activity([&](LanePart part, const Activity& activity) {
        const ReplayNode& node = all.dag.programs[all.dag.program_of(part.lane)][part.node];
        if (node.kind != NodeKind::exchange) {
            others += static_cast<std::int64_t>(activity.flows.size());
            return;
        }
        ++exchanges;
        // Each of 16 ranks sends to its like on the other node, and passes on to seven neighbours.
        CHECK(activity.flows.size() == 16 * (1 + 7));
    });
    CHECK(exchanges > 0);
    CHECK(all.counts.flows == exchanges * 16 * (1 + 7) + others);
}

TEST_CASE("folding: both engines agree on every folding", "[sim][folding][engine][slow]") {
    for (const std::string fold : {"ep_group", "none"}) {
        INFO(fold);
        const Simulation both = test::simulated(test::tiny_h800_setting(
            "dualpipe", 2,
            {"replay.fold=" + fold, "replay.engine=both", "workload.global_batch_sequences=64",
             "cluster.overrides=[{\"link\": \"node1.nic3\", \"degrade\": 0.5}]"}));
        REQUIRE(both.engine_difference.has_value());
        CHECK(both.engine_difference->op_max < 1e-5);
    }
}

TEST_CASE("folding: both engines agree on tensor-parallel groups", "[sim][folding][engine][slow]") {
    const Simulation both = test::simulated(test::tiny_h800_setting(
        "1f1b", 2,
        {"replay.fold=none", "replay.engine=both", "plan.tensor_parallel=2", "plan.data_parallel=8",
         "workload.global_batch_sequences=32",
         "cluster.overrides=[{\"link\": \"node1.nic3\", \"degrade\": 0.5}]"}));
    REQUIRE(both.engine_difference.has_value());
    CHECK(both.engine_difference->op_max < 1e-5);
}

TEST_CASE("folding: a slow link slows its own rank more than the others", "[sim][folding]") {
    const auto stage_time = [](const std::string& fold) {
        return folded(fold, "1f1b",
                      {"cluster.overrides=[{\"link\": \"node0.nic3\", \"degrade\": 0.25}]"})
            .timeline.makespan();
    };
    const TimePs whole = folded("none", "1f1b").timeline.makespan();
    const TimePs none = stage_time("none");
    CHECK(none > whole);
    // One lane for all has the slow link of one of them.
    CHECK(stage_time("stage") >= none);
    CHECK(stage_time("ep_group") >= none);
}

TEST_CASE("folding: uneven experts, flow by flow and by what each rank sends and gets",
          "[sim][folding][slow]") {
    // Loads of ranks up to 30 % above the mean.
    const std::vector<std::string> uneven = {
        R"(routing={"source": "zipf", "skew": 0.15, "node_limit": 2})"};
    for (const std::string schedule : {"dualpipe", "1f1b"}) {
        INFO(schedule);
        const auto step = [&](const std::string& fold, const std::vector<std::string>& overrides) {
            return static_cast<double>(folded(fold, schedule, overrides).timeline.makespan());
        };
        const double none = step("none", uneven);
        CHECK(step("ep_group", uneven) / none == Approx(1).epsilon(0.02));
        CHECK(step("stage", uneven) / none == Approx(1).epsilon(0.05));
        CHECK(none > step("none", {R"(routing={"source": "balanced", "node_limit": 2})"}));
    }
}

TEST_CASE("folding: stage states what its error is at most", "[sim][folding][slow]") {
    const std::vector<std::string> uneven = {
        R"(routing={"source": "zipf", "skew": 0.15, "node_limit": 2})"};
    const Simulation stage = folded("stage", "dualpipe", uneven);
    const TimePs none = folded("none", "dualpipe", uneven).timeline.makespan();
    REQUIRE(stage.even_step.has_value());
    CHECK(*stage.even_step < none);
    CHECK(none < stage.timeline.makespan());
    // Even experts are those of a balanced source, but for the traffic that uneven ones cause.
    const Simulation balanced =
        folded("stage", "dualpipe", {R"(routing={"source": "balanced", "node_limit": 2})"});
    CHECK_FALSE(balanced.even_step.has_value());
    CHECK(static_cast<double>(*stage.even_step) ==
          Approx(static_cast<double>(balanced.timeline.makespan())).epsilon(0.01));
    CHECK_FALSE(folded("ep_group", "dualpipe", uneven).even_step.has_value());
}

TEST_CASE("folding: the rank with more rows computes longer", "[sim][folding]") {
    const Simulation s = folded("none", "1f1b", {R"(routing={"source": "zipf", "skew": 0.5})"});
    const RankProgram& program = s.graph.programs().front();
    const ChunkTemplate& chunk = s.graph.chunk(program.items.front().chunk);
    REQUIRE(program.items.front().kind == ItemKind::forward);
    std::int64_t grouped = 0;
    for (std::size_t op = 0; op < chunk.ops.size(); ++op) {
        if (!kind_name(chunk.ops[op]).starts_with("grouped_gemm")) {
            continue;
        }
        ++grouped;
        const ExpertLoads& loads = s.routing.loads(s.routing.index({0, chunk.ops[op].layer}));
        for (std::uint32_t a = 0; a < 15; ++a) {
            const auto time = [&](std::uint32_t lane) {
                const Interval* interval =
                    s.timeline.find({lane, 0, static_cast<std::uint32_t>(op)});
                return static_cast<double>(interval->end - interval->start);
            };
            // Grouped GEMMs are tiles: more rows never take less.
            const bool more = loads.rows[a] > 1.2 * loads.rows[a + 1];
            CHECK((!more || time(a) > time(a + 1)));
        }
    }
    CHECK(grouped > 0);
}

}  // namespace r1
