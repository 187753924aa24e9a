// Loads that a binding records: every pair that bytes go between is a flow, and a binding of
// something else is refused.
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "model/base/json.hpp"
#include "model/base/rng.hpp"
#include "model/routing/captured_routing.hpp"
#include "sim/lowering.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/temporary_folder.hpp"

namespace r1 {
namespace {

constexpr int kRanks = 8;  // of a group: four nodes of two
constexpr int kPerNode = 2;

Setting captured_setting(const std::vector<std::string>& overrides) {
    std::vector<std::string> all = {"cluster=cpu_8x2", "plan.pipeline_parallel=2",
                                    "plan.data_parallel=8", "plan.expert_parallel=8",
                                    "workload.global_batch_sequences=32"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return test::tiny_setting(all);
}

// A binding of the graph in which few tokens go to few ranks.
Json sparse_binding(const ExecutionGraph& graph) {
    const Rng draws(11);
    std::uint64_t drawn = 0;
    const auto draw = [&](int count) {
        return static_cast<std::int64_t>(draws.uniform(drawn++) * count);
    };
    std::set<std::tuple<int, int, int, int, int>> seen;
    Json exchanges = Json::array();
    for (std::int32_t program = 0; program < 2; ++program) {
        for (const Item& item : graph.programs()[static_cast<std::size_t>(program)].items) {
            for (const Op& op : graph.chunk(item.chunk).ops) {
                const CommOp* comm = op.comm();
                const Context& c = item.contexts[op.context];
                if (comm == nullptr || comm->group != GroupKind::expert_parallel ||
                    !seen.emplace(program, c.stage, c.direction, c.micro_batch, op.layer).second) {
                    continue;
                }
                for (std::int32_t replica = 0; replica < kRanks; ++replica) {
                    std::vector<std::int64_t> to_nodes(4);
                    std::vector<std::int64_t> to_ranks(kRanks);
                    for (int i = 0; i < 3; ++i) {
                        const auto rank = static_cast<std::size_t>(draw(kRanks));
                        to_ranks[rank] = 1 + draw(9);
                        to_nodes[rank / kPerNode] = 10;
                    }
                    exchanges.push_back(
                        {{"rank", program * kRanks + replica},
                         {"stage", c.stage},
                         {"direction", c.direction},
                         {"micro_batch", c.micro_batch},
                         {"layer", op.layer},
                         {"tokens", 256},
                         {"tokens_to_nodes", to_nodes},
                         {"tokens_to_ranks", to_ranks},
                         {"expert_rows", std::vector<std::int64_t>(16, 1 + draw(300))},
                         {"nodes_per_token_max", 3}});
                }
            }
        }
    }
    return {{"schema", "r1sim.binding/1"},
            {"steps",
             {{{"graph", {{"hash", graph.hash().hex()}}}, {"exchanges", std::move(exchanges)}}}}};
}

// Pairs of ranks between which one exchange moves bytes, by hand: to the source's rail on each
// node, and from there.
using Groups = std::map<std::tuple<int, int, int, int>, std::set<std::tuple<bool, int, int>>>;
Groups pairs_of(const Json& binding) {
    Groups groups;
    for (const Json& record : binding["steps"][0]["exchanges"]) {
        auto& pairs =
            groups[{record["stage"], record["direction"], record["micro_batch"], record["layer"]}];
        const int source = record["rank"].get<int>() % kRanks;
        for (int node = 0; node < kRanks / kPerNode; ++node) {
            const int landing = node * kPerNode + source % kPerNode;
            if (landing != source && record["tokens_to_nodes"][node].get<int>() > 0) {
                pairs.emplace(false, source, landing);
            }
            for (int rank = node * kPerNode; rank < (node + 1) * kPerNode; ++rank) {
                if (rank != landing && record["tokens_to_ranks"][rank].get<int>() > 0) {
                    pairs.emplace(true, landing, rank);
                }
            }
        }
    }
    return groups;
}

std::string refusal(const Json& binding, const ExecutionGraph& graph, const Setting& setting) {
    try {
        captured_routing(Document::from_json(binding, "binding.json"), graph,
                         setting.scenario.model, expert_group_shape(graph, setting.topology));
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("captured routing: a flow for each pair that bytes go between", "[sim][captured]") {
    const test::TemporaryFolder folder("captured_routing");
    const std::string file = (folder.path() / "binding.json").string();
    Setting setting = captured_setting({"replay.fold=none", "replay.engine=fluid"});
    const ExecutionGraph graph = build_graph(setting.scenario);
    const Json binding = sparse_binding(graph);
    write_file_atomically(file, binding.dump());
    setting.scenario.routing.source = RoutingSource::captured;
    setting.scenario.routing.binding = file;
    const Simulation s = test::simulated(setting);

    const Groups groups = pairs_of(binding);
    std::int64_t exchanges = 0;
    s.dag.for_each_activity([&](LanePart part, const Activity& activity) {
        const ReplayNode& node = s.dag.programs[s.dag.program_of(part.lane)][part.node];
        if (node.kind != NodeKind::exchange) {
            return;
        }
        ++exchanges;
        const Item& item = s.graph.programs()[s.dag.program_of(part.lane)].items[node.item];
        const Op& op = s.graph.chunk(item.chunk).ops[s.dag.segment(node).ops.front().index()];
        const Context& c = item.contexts[op.context];
        CHECK(activity.flows.size() ==
              groups.at({c.stage, c.direction, c.micro_batch, op.layer}).size());
    });
    CHECK(exchanges > 0);
    CHECK(s.traffic.nodes_per_token_max == 3);
}

TEST_CASE("captured routing: a binding of something else is refused", "[sim][captured]") {
    const Setting setting = captured_setting({});
    const ExecutionGraph graph = build_graph(setting.scenario);
    const Json good = sparse_binding(graph);
    CHECK(refusal(good, graph, setting).empty());

    Json bad = good;
    bad["steps"][0]["graph"]["hash"] = std::string(32, '0');
    CHECK(test::contains(refusal(bad, graph, setting), "is of another graph"));

    bad = good;
    bad["steps"][0]["exchanges"].erase(5);
    CHECK(test::contains(refusal(bad, graph, setting), "lacks ranks of the exchange of stage"));

    bad = good;
    bad["steps"][0]["exchanges"][5] = bad["steps"][0]["exchanges"][6];
    CHECK(test::contains(refusal(bad, graph, setting), "has this exchange twice"));

    bad = good;
    bad["steps"][0]["exchanges"][0]["tokens_to_nodes"] = {1, 2, 3};
    bad["steps"][0]["exchanges"][1]["tokens_to_ranks"][3] = 257;
    bad["steps"][0]["exchanges"][2]["rank"] = 16;
    const std::string all = refusal(bad, graph, setting);
    CHECK(test::contains(all, "has 3 entries, not 4"));
    CHECK(test::contains(all, "/steps/0/exchanges/1/tokens_to_ranks/3"));
    CHECK(test::contains(all, "/steps/0/exchanges/2/rank"));

    bad = good;
    bad["steps"] = Json::array();
    CHECK(test::contains(refusal(bad, graph, setting), "has no step"));
}

}  // namespace r1
