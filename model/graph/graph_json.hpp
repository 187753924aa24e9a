// Execution graphs as files: JSON, "schema": "r1sim.graph/1".
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "model/base/json.hpp"
#include "model/graph/graph.hpp"

namespace r1 {

// Names for enums, numbers for ids. An extent is a number, or an object of the symbols that it
// has: {"routed_rows": 2, "constant": 1}.
Json graph_to_json(const ExecutionGraph& graph);
// The same with one tensor, op or item a line.
std::string graph_to_text(const ExecutionGraph& graph);

// Leaves "scenario" out of account. Builds the graph anew, so everything that
// GraphBuilder::freeze() checks holds; its hash must be the one that the document names. Throws
// InputError.
ExecutionGraph graph_from_json(const Document& document);

// A graph in a file, with the scenario whose step it is, all that it names in place. The hash does
// not cover the scenario, which a replay needs beside the graph.
struct GraphFile {
    ExecutionGraph graph;
    std::optional<Document> scenario = {};
};

// Compresses with zstd if the file name ends in ".zst", and only then: the name says what is
// inside. Both throw InputError.
void write_graph(const std::filesystem::path& file, const ExecutionGraph& graph,
                 const Json* scenario = nullptr);
// Recognises zstd by its first bytes, whatever the name.
GraphFile read_graph(const std::filesystem::path& file);

}  // namespace r1
