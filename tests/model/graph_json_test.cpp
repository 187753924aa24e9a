// Graph files: the way there and back keeps the hash, and nothing malformed does harm.
#include "model/graph/graph_json.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "model/base/rng.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/training_setup.hpp"
#include "tests/support/two_stage_graph.hpp"

using namespace r1;
namespace fs = std::filesystem;

namespace {

ExecutionGraph tiny_graph() {
    return build_training_graph(test::tiny_setup(ScheduleKind::dualpipe, 2, 4));
}

void check_equal(const ExecutionGraph& a, const ExecutionGraph& b) {
    CHECK(a.hash() == b.hash());
    CHECK(a.templates() == b.templates());
    CHECK(a.programs() == b.programs());
    CHECK(a.instances() == b.instances());
    CHECK(a.ops() == b.ops());
    CHECK(a.edges() == b.edges());
}

// Reading either refuses the document as input, or gives the very same graph.
void check_harmless(const GraphHash& hash, const std::function<ExecutionGraph()>& read) {
    try {
        if (!(read().hash() == hash)) {
            FAIL("another graph was accepted");
        }
    } catch (const InputError&) {
        // as it should
    } catch (const std::exception& error) {
        FAIL("not an InputError: " << error.what());
    }
}

std::string mutated(std::string text, const Rng& rng, std::uint64_t index) {
    const std::size_t at = rng.bits(2 * index) % text.size();
    const std::uint64_t bits = rng.bits(2 * index + 1);
    static const std::string likely = "0123456789-.eE,:[]{}\"x";
    switch (bits % 4) {
        case 0: text[at] = likely[(bits >> 8) % likely.size()]; break;
        case 1: text[at] = static_cast<char>(bits >> 8); break;
        case 2: text.erase(at, 1 + (bits >> 8) % 8); break;
        default: text.insert(at, 1, likely[(bits >> 8) % likely.size()]);
    }
    return text;
}

}  // namespace

TEST_CASE("graph json: there and back keeps the graph", "[model][graph]") {
    for (const ExecutionGraph& graph : {test::TwoStages().freeze(), tiny_graph()}) {
        check_equal(graph_from_json(Document::from_json(graph_to_json(graph), "test")), graph);
        const std::string text = graph_to_text(graph);
        check_equal(graph_from_json(Document::from_text(text, "test")), graph);
        CHECK(graph_to_text(graph_from_json(Document::from_text(text, "test"))) == text);
    }
}

TEST_CASE("graph json: what ran before a program begins is kept, and must be a list of contexts",
          "[model][graph]") {
    TrainingSetup setup = test::tiny_setup(ScheduleKind::dualpipe, 2, 4);
    const ExecutionGraph graph = build_overlapped_pair_graph(setup, 1);
    REQUIRE(graph.programs().front().given.size() == 2);
    Json json = graph_to_json(graph);
    check_equal(graph, graph_from_json(Document::from_text(json.dump(), "g.json")));
    json["programs"][0]["given"] = "all";
    CHECK_THROWS_AS(graph_from_json(Document::from_text(json.dump(), "g.json")), InputError);
}

TEST_CASE("graph json: files, compressed by name", "[model][graph]") {
    const test::TemporaryFolder folder("graph_json");
    const ExecutionGraph graph = tiny_graph();
    const fs::path plain = folder / "graph.json";
    const fs::path packed = folder / "graph.json.zst";
    write_graph(plain, graph);
    write_graph(packed, graph);
    CHECK(fs::file_size(packed) * 5 < fs::file_size(plain));
    check_equal(read_graph(plain).graph, graph);
    check_equal(read_graph(packed).graph, graph);
    fs::rename(packed, folder / "renamed.json");
    check_equal(read_graph(folder / "renamed.json").graph, graph);
    CHECK_FALSE(read_graph(plain).scenario.has_value());
    const Json scenario = {{"name", "of the graph"}};
    write_graph(packed, graph, &scenario);
    check_equal(read_graph(packed).graph, graph);
    CHECK(read_graph(packed).scenario.value().root() == scenario);
    CHECK_THROWS_AS(read_graph(folder / "none.json"), InputError);
    CHECK_THROWS_AS(write_graph(folder / "none" / "graph.json", graph), InputError);
}

TEST_CASE("graph json: extents with symbols", "[model][graph]") {
    test::TwoStages parts;
    parts.forward[0].tensors[0].shape[0] = 0.5 * Extent(Symbol::routed_rows) + 3;
    parts.forward[1].tensors[0].shape = {1e300};
    const ExecutionGraph graph = parts.freeze();
    const Json json = graph_to_json(graph);
    CHECK(json.at(Json::json_pointer("/templates/0/tensors/0/shape/0")).dump() ==
          R"({"routed_rows":0.5,"constant":3})");
    check_equal(graph_from_json(Document::from_json(json, "test")), graph);
}

TEST_CASE("graph json: the content must have the hash that it names", "[model][graph]") {
    Json json = graph_to_json(test::TwoStages().freeze());
    json["instances"]["data_parallel"] = 8;
    try {
        graph_from_json(Document::from_json(json, "test"));
        FAIL("accepted");
    } catch (const InputError& error) {
        REQUIRE(error.diagnostics().size() == 1);
        CHECK(error.diagnostics().front().pointer == "/hash");
    }
    json["instances"]["expert_parallel"] = 5;
    CHECK_THROWS_WITH(graph_from_json(Document::from_json(json, "test")),
                      Catch::Matchers::Contains("do not divide 8"));
}

TEST_CASE("graph json: any value in any place is refused", "[model][graph]") {
    const ExecutionGraph graph = test::TwoStages().freeze();
    const Json json = graph_to_json(graph);
    const std::vector<Json> values = {nullptr,
                                      true,
                                      -1,
                                      2,
                                      255,
                                      1e300,
                                      4294967295,
                                      "x",
                                      "send",
                                      Json::array(),
                                      Json::object(),
                                      Json::array({0, 0, 0}),
                                      {{"routed_rows", 1}, {"received_tokens", 1}}};
    std::set<std::string> places;
    const Json leaves = json.flatten();
    for (const auto& [pointer, leaf] : leaves.items()) {
        for (Json::json_pointer place(pointer); !place.empty(); place.pop_back()) {
            places.insert(place.to_string());
        }
    }
    // A third of the values for each place: neighbours are of the same kind, and get the others.
    std::size_t first = 0;
    for (const std::string& place : places) {
        first = (first + 1) % 3;
        for (std::size_t i = first; i < values.size(); i += 3) {
            const Json& value = values[i];
            INFO(place << " = " << value.dump());
            Json changed = json;
            changed[Json::json_pointer(place)] = value;
            check_harmless(graph.hash(),
                           [&] { return graph_from_json(Document::from_json(changed, "test")); });
        }
    }
}

TEST_CASE("graph json: truncated and mutated files do no harm", "[model][graph]") {
    const ExecutionGraph graph = test::TwoStages().freeze();
    const std::string text = graph_to_text(graph);
    for (std::size_t size = 0; size < text.size() - 2; size += 17) {
        CHECK_THROWS_AS(graph_from_json(Document::from_text(text.substr(0, size), "test")),
                        InputError);
    }
    const Rng rng(20);
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const std::string broken = mutated(text, rng, i);
        INFO(i);
        check_harmless(graph.hash(),
                       [&] { return graph_from_json(Document::from_text(broken, "test")); });
    }
}

TEST_CASE("graph json: truncated and mutated zstd data do no harm", "[model][graph]") {
    const test::TemporaryFolder folder("graph_json");
    const fs::path file = folder / "graph.zst";
    const ExecutionGraph graph = test::TwoStages().freeze();
    write_graph(file, graph);
    const std::string packed = read_file(file);
    for (std::size_t size = 0; size < packed.size(); size += 5) {
        write_file_atomically(file, packed.substr(0, size));
        CHECK_THROWS_AS(read_graph(file), InputError);
    }
    const Rng rng(21);
    for (std::uint64_t i = 0; i < 300; ++i) {
        write_file_atomically(file, mutated(packed, rng, i));
        INFO(i);
        check_harmless(graph.hash(), [&] { return read_graph(file).graph; });
    }
}
