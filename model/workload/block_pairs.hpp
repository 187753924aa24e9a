// Which block of the stage that goes forward runs beside which block of the one that goes backward.
#pragma once

#include <vector>

#include "model/layers/stage.hpp"

namespace r1 {

// Null where a block has no partner.
struct BlockPair {
    const Block* forward = nullptr;
    const Block* backward = nullptr;
};

// All blocks once, both stages in their order (the backward one from its end), paired so that as
// many dispatches and combines as possible have computation of the other block to hide behind
// (layers/stage.hpp says which hides which). Points into its arguments.
std::vector<BlockPair> block_pairs(const std::vector<Block>& forward,
                                   const std::vector<Block>& backward);

}  // namespace r1
