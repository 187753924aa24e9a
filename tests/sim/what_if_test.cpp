// Stragglers and what a replay leaves out.
#include <cmath>

#include "sim/what_if.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

double step_s(const std::vector<std::string>& overrides) {
    const Setting setting = test::tiny_h800_setting("dualpipe", 4, overrides);
    return from_ps(test::simulated(setting).timeline.makespan()).value();
}

std::string without(const std::string& part) { return "replay.without=[\"" + part + "\"]"; }

}  // namespace

TEST_CASE("stragglers: none without a deviation, and the slowest rank sets the pace", "[sim]") {
    CHECK(straggler_factor({}, 0, RankId(0), 128, 1, 3) == 1);
    const Stragglers chunks{0, 0.01};
    double sum = 0;
    constexpr int kItems = 400;
    for (std::uint32_t item = 0; item < kItems; ++item) {
        const double alone = straggler_factor(chunks, 0, RankId(5), 1, 1, item);
        CHECK(straggler_factor(chunks, 0, RankId(0), 128, 1, item) >= alone);
        sum += straggler_factor(chunks, 0, RankId(0), 128, 1, item);
    }
    // The expected maximum of 128 standard normals is 2.62.
    CHECK(sum / kItems == Approx(1.0262).epsilon(0.001));
    const Stragglers ranks{0.01, 0};
    CHECK(straggler_factor(ranks, 0, RankId(0), 128, 1, 1) ==
          straggler_factor(ranks, 0, RankId(0), 128, 1, 2));
    CHECK(straggler_factor(ranks, 0, RankId(0), 128, 1, 1) !=
          straggler_factor(ranks, 1, RankId(0), 128, 1, 1));
}

TEST_CASE("stragglers: slow ranks slow the step, more of it the more they scatter", "[sim]") {
    const double none = step_s({});
    const double little = step_s({"replay.stragglers.per_chunk=0.05"});
    const double much = step_s({"replay.stragglers.per_chunk=0.2"});
    CHECK(none < little);
    CHECK(little < much);
}

TEST_CASE("balancing: stages that take their mean have one time", "[sim]") {
    const std::vector<double> factors = balancing_factors({Seconds(1), Seconds(2), Seconds(3)});
    CHECK(factors[0] == Approx(2));
    CHECK(factors[1] == Approx(1));
    CHECK(factors[2] == Approx(2.0 / 3));
}

TEST_CASE("single hop: every copy to another node crosses InfiniBand", "[sim]") {
    // 8 nodes of 8; a token to 7.5 GPUs, spread evenly: 1 of 8 on the node, 1 of 64 on the GPU.
    const ExpertTraffic single = single_hop_traffic({4, 4, 7.5, 3.5, 7.0}, {64, 8});
    CHECK(single.ib_copies_per_token == Approx(7.5 * 7 / 8));
    CHECK(single.nvlink_copies_per_token == Approx(7.5 * 7 / 64));
    CHECK(single.nodes_per_token == Approx(7.5));
}

TEST_CASE("what-if: what is left out changes the step and not the graph", "[sim][slow]") {
    const Setting plain = test::tiny_h800_setting("dualpipe", 4);
    const double base = step_s({});
    CHECK(step_s({without("overlap")}) > base);
    CHECK(step_s({without("sm_split")}) < base);
    CHECK(step_s({without("pipeline_messages")}) < base);
    CHECK(step_s({without("two_hop")}) >= base);
    for (const char* part :
         {"overlap", "sm_split", "stage_imbalance", "pipeline_messages", "network", "two_hop"}) {
        const Setting changed = test::tiny_h800_setting("dualpipe", 4, {without(part)});
        CHECK(prepare(changed).graph.hash() == prepare(plain).graph.hash());
    }
}

TEST_CASE("what-if: without overlap no two ops of a rank run at the same time", "[sim]") {
    const Setting setting = test::tiny_h800_setting("dualpipe", 4, {without("overlap")});
    const Simulation simulation = test::simulated(setting);
    std::vector<std::pair<TimePs, TimePs>> busy;
    for (const Interval& interval : simulation.timeline.intervals) {
        const RankProgram& program = simulation.graph.programs()[interval.op.lane];
        const Item& item = program.items[interval.op.item];
        if (interval.op.lane == 1 && is_chunk(item.kind)) {
            busy.emplace_back(interval.start, interval.end);
        }
    }
    std::sort(busy.begin(), busy.end());
    for (std::size_t i = 1; i < busy.size(); ++i) {
        CHECK(busy[i].first >= busy[i - 1].second);
    }
}

}  // namespace r1
