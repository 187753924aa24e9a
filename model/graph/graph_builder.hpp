// The only way to make an ExecutionGraph.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/graph/graph.hpp"

namespace r1 {

// What is wrong with a graph; every problem at once.
class GraphError : public std::runtime_error {
public:
    explicit GraphError(std::vector<std::string> problems);
    [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

private:
    std::vector<std::string> problems_;
};

class GraphBuilder {
public:
    explicit GraphBuilder(Instances instances);

    // Equal templates are stored once.
    TemplateId add(ChunkTemplate chunk);
    // Programs are numbered in the order of calls; there must be pipeline_parallel of them.
    void add(RankProgram program);

    // Checks everything that executing and replaying rely on, and freezes: every op has a kernel
    // signature and fitting tensors; every tensor that is read was produced before (by an op, a
    // message, or the stage's state); every send has its receive, with equal sizes; groups exist;
    // programs do not wait for each other in a circle. Throws GraphError. The builder is empty
    // afterwards.
    ExecutionGraph freeze();

private:
    Instances instances_;
    std::vector<ChunkTemplate> templates_;
    std::vector<RankProgram> programs_;
    std::unordered_multimap<std::uint64_t, TemplateId> by_hash_;
};

}  // namespace r1
