// What simulations share changes no result, and is built anew exactly when its inputs change.
#include <string>
#include <vector>

#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

struct Variation {
    std::vector<std::string> overrides;
    bool is_new_graph;
};

}  // namespace

TEST_CASE("shared work: graphs are built only where what they depend on changed",
          "[sim][sweep][slow]") {
    SharedWork shared;
    const std::vector<Variation> variations = {
        {{}, true},
        {{"plan.comm_sms=10"}, false},
        {{"cluster.nvlink.bandwidth_gb_per_s=100", "replay.fold=ep_group"}, false},
        {{"plan.schedule=1f1b"}, true},
        {{"workload.global_batch_sequences=384"}, true},
        {{"workload.precision.dispatch=bf16"}, true},
    };
    int built = 0;
    for (const Variation& variation : variations) {
        INFO((variation.overrides.empty() ? "" : variation.overrides.front()));
        const Setting setting = test::tiny_h800_setting("dualpipe", 2, variation.overrides);
        const Simulation alone = prepare(setting);
        const Simulation together = prepare(setting, shared);
        CHECK(together.graph.hash() == alone.graph.hash());
        CHECK(together.traffic.ranks_per_token == alone.traffic.ranks_per_token);
        CHECK(together.memory.programs.front().total().value() ==
              alone.memory.programs.front().total().value());
        built += variation.is_new_graph ? 1 : 0;
        CHECK(shared.graphs_built() == built);
    }
}

TEST_CASE("shared work: as many graphs as threads are kept, the last used ones", "[sim][sweep]") {
    const auto inputs = [](const char* change) {
        return graph_inputs(test::tiny_h800_setting("dualpipe", 2, {change}).scenario);
    };
    const GraphInputs a = inputs("plan.schedule=1f1b");
    const GraphInputs b = inputs("plan.schedule=zb1p");
    const GraphInputs c = inputs("workload.global_batch_sequences=384");
    SharedWork shared(2);
    const auto built_after = [&](const GraphInputs& next) {
        shared.graph(next);
        return shared.graphs_built();
    };
    CHECK(built_after(a) == 1);
    CHECK(built_after(b) == 2);
    CHECK(built_after(a) == 2);
    CHECK(built_after(c) == 3);  // instead of b
    CHECK(built_after(a) == 3);
    CHECK(built_after(b) == 4);
}

TEST_CASE("shared work: traffic follows the node limit and the seed", "[sim][sweep]") {
    SharedWork shared;
    for (const char* change : {"seed=0", "routing.node_limit=1", "seed=5"}) {
        INFO(change);
        const Setting setting = test::tiny_h800_setting("1f1b", 2, {change});
        const ExpertTraffic alone = prepare(setting).traffic;
        const ExpertTraffic together = prepare(setting, shared).traffic;
        CHECK(together.nodes_per_token == alone.nodes_per_token);
        CHECK(together.nvlink_copies_per_token == alone.nvlink_copies_per_token);
    }
}

}  // namespace r1
