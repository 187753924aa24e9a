// Execution graphs as files: JSON, "schema": "r1sim.graph/1".
#pragma once

#include <filesystem>
#include <string>

#include "model/base/json_fwd.hpp"
#include "model/graph/graph.hpp"

namespace r1 {

// Names for enums, numbers for ids. An extent is a number, or an object of the symbols that it
// has: {"routed_rows": 2, "constant": 1}.
Json graph_to_json(const ExecutionGraph& graph);
// The same with one tensor, op or item a line.
std::string graph_to_text(const ExecutionGraph& graph);

// Builds the graph anew, so everything that GraphBuilder::freeze() checks holds; its hash must be
// the one that the document names. Throws InputError.
ExecutionGraph graph_from_json(const Document& document);

// Compresses with zstd if the file name ends in ".zst", and only then: the name says what is
// inside. Both throw InputError.
void write_graph(const std::filesystem::path& file, const ExecutionGraph& graph);
// Recognises zstd by its first bytes, whatever the name.
ExecutionGraph read_graph(const std::filesystem::path& file);

}  // namespace r1
