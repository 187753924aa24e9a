// Where the tokens of one layer and micro-batch went from one rank: the values that a run gives to
// the graph's routed traffic. With the records of all ranks of an expert-parallel group, every
// message of its exchanges is known.
#pragma once

#include <cstdint>
#include <vector>

namespace r1 {

struct ExchangeRecord {
    std::int64_t rank = 0;
    std::int32_t stage = 0;
    std::int32_t direction = 0;
    std::int32_t micro_batch = 0;
    std::int32_t layer = 0;                 // slot within the stage, as the graph's ops have it
    std::int64_t tokens = 0;                // of the rank
    std::vector<std::int64_t> to_nodes;     // tokens with an expert there, by node of the group
    std::vector<std::int64_t> to_ranks;     // likewise, by rank of the group
    std::vector<std::int32_t> expert_rows;  // tokens of each expert
    std::int64_t nodes_per_token_max = 0;   // the token's own node counts where it has an expert
};

}  // namespace r1
