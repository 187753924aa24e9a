// Traces of a simulated step.
#include <map>
#include <set>

#include "model/chakra/attributes.hpp"
#include "sim/chakra/export.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

std::vector<ChakraTrace> traces_of(const Setting& setting, const Simulation& simulation) {
    std::vector<ChakraTrace> traces;
    export_chakra(setting, simulation,
                  [&](RankId, const ChakraTrace& trace) { traces.push_back(trace); });
    return traces;
}

}  // namespace

TEST_CASE("chakra: every op of every rank is a node, after all that it waits for",
          "[sim][chakra]") {
    const Setting setting = test::tiny_setting({"plan.schedule=1f1b", "replay.engine=fluid"});
    const Simulation simulation = test::simulated(setting);
    const std::vector<ChakraTrace> traces = traces_of(setting, simulation);
    REQUIRE(traces.size() == 8);
    std::int64_t nodes = 0;
    for (const ChakraTrace& trace : traces) {
        std::map<std::uint64_t, std::uint64_t> started;
        for (const chakra::Node& node : trace.nodes) {
            CHECK(started.try_emplace(node.id(), node.start_time_micros()).second);
        }
        for (const chakra::Node& node : trace.nodes) {
            for (const std::uint64_t before : node.data_deps()) {
                REQUIRE(started.contains(before));
                // A receive is on the wire before what it comes after on its stream may end.
                const bool waits = node.type() != chakra::COMM_RECV_NODE;
                CHECK((!waits || started[before] <= node.start_time_micros()));
            }
        }
        nodes += static_cast<std::int64_t>(trace.nodes.size());
    }
    CHECK(nodes == simulation.graph.ops());
}

TEST_CASE("chakra: a trace counts the FLOPs and message bytes of the graph", "[sim][chakra]") {
    const Setting setting = test::tiny_setting({"plan.schedule=1f1b", "replay.engine=fluid"});
    const Simulation simulation = test::simulated(setting);
    double flops = 0;
    std::multiset<std::pair<std::int64_t, std::int64_t>> sent;  // bytes, tag
    std::multiset<std::pair<std::int64_t, std::int64_t>> received;
    const auto value = [](const chakra::Node& node, const char* name) {
        return integer_of(*find_attribute(node, name)).value();
    };
    for (const ChakraTrace& trace : traces_of(setting, simulation)) {
        for (const chakra::Node& node : trace.nodes) {
            if (find_attribute(node, attribute::kNumOps) != nullptr) {
                flops += static_cast<double>(value(node, attribute::kNumOps));
            } else if (node.type() == chakra::COMM_SEND_NODE) {
                sent.emplace(value(node, attribute::kCommSize), value(node, attribute::kCommTag));
            } else if (node.type() == chakra::COMM_RECV_NODE) {
                received.emplace(value(node, attribute::kCommSize),
                                 value(node, attribute::kCommTag));
            }
        }
    }
    double of_graph = 0;
    for (const RankProgram& program : simulation.graph.programs()) {
        for (const Item& item : program.items) {
            for (const Op& op : simulation.graph.chunk(item.chunk).ops) {
                of_graph += op.compute() == nullptr
                                ? 0
                                : op.compute()->work.matrix_flops.value(simulation.symbols);
            }
        }
    }
    of_graph *= simulation.graph.instances().data_parallel;
    CHECK(flops == Approx(of_graph));
    CHECK(!sent.empty());
    CHECK(sent == received);
}

}  // namespace r1
