// Received tokens to rows in the order of the local experts: a token that k local experts want
// gives k rows. Rows of one expert are in the order of the tokens. Data are copied as bytes, so
// every storage type is served, FP8 with its scales.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"

namespace r1 {

// One matrix whose rows are copied: activations, or their FP8 scales.
struct PermutedBytes {
    std::int64_t row_bytes = 0;
    const void* source = nullptr;  // [received, row_bytes]
    void* target = nullptr;        // [rows, row_bytes]
};

struct PermuteArgs {
    std::int64_t received = 0;  // tokens
    std::int64_t slots = 0;     // experts per token
    std::int64_t experts = 0;   // local ones
    std::int64_t rows_max = 0;  // what the outputs have room for; more is a bug of the caller
    // [received, 2 * slots]: local experts (as numbers; negative: none here), then their weights.
    const float* route = nullptr;
    PermutedBytes data;
    PermutedBytes scales;             // row_bytes 0: none
    std::int32_t* row_map = nullptr;  // [rows] the received token of each row
    float* row_weights = nullptr;     // [rows]
    std::int32_t* offsets = nullptr;  // [experts + 1]; the last one is the number of rows
};

// The route of tokens where all experts are local: as the exchange of a dispatch would bring it.
struct LocalRouteArgs {
    std::int64_t tokens = 0;
    std::int64_t slots = 0;                 // experts per token
    const std::int32_t* indices = nullptr;  // [tokens, slots]
    const float* weights = nullptr;         // [tokens, slots]
    float* route = nullptr;                 // [tokens, 2 * slots], as in PermuteArgs
};

// The same rows again by a row_map that permute() made: `rows` of `data` and `scales`.
struct PermuteAgainArgs {
    std::int64_t rows = 0;
    const std::int32_t* row_map = nullptr;  // [rows]
    PermutedBytes data;
    PermutedBytes scales;
};

namespace reference {
void local_route(const LocalRouteArgs& args);
void permute(const PermuteArgs& args);
void permute_again(const PermuteAgainArgs& args);
}  // namespace reference
namespace cpu {
void local_route(const LocalRouteArgs& args);
void permute(const PermuteArgs& args);
void permute_again(const PermuteAgainArgs& args);
}  // namespace cpu
namespace cuda {
void local_route(const LocalRouteArgs& args, const Launch& launch);
void permute(const PermuteArgs& args, const Launch& launch);
void permute_again(const PermuteAgainArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
