// The smallest graph with everything in it: two stages on two pipeline ranks, one micro-batch
// forward and backward, a reduction of the gradients and one collective of the world. Tests change
// one part and freeze.
#pragma once

#include <array>
#include <vector>

#include "model/graph/graph.hpp"

namespace r1::test {

struct TwoStages {
    TwoStages();

    // Adds the templates in the order of the programs' items: F(0), send, recv, B(0), …
    [[nodiscard]] ExecutionGraph freeze() const;

    Instances instances{2, 4, 2};
    std::array<ChunkTemplate, 2> forward;    // by stage: embedding; norm
    std::array<ChunkTemplate, 2> backward;   // B(1): two ops
    std::array<ChunkTemplate, 4> messages;   // send, recv of activations; of gradients
    std::array<ChunkTemplate, 2> optimizer;  // by stage
    ChunkTemplate norm;
    // Program 0: F, send, recv, B, optimizer, norm. Program 1: recv, F, B, send, optimizer, norm.
    // Items name templates by their place in all_templates().
    std::array<RankProgram, 2> programs;

private:
    void set_programs();
    [[nodiscard]] std::vector<ChunkTemplate> all_templates() const;
};

}  // namespace r1::test
