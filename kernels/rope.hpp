// Rotates queries and keys, and assembles keys by head. Adjacent pairs (x[2j], x[2j + 1]) are
// rotated by position * frequency[j] and go back to the same two places.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

// q, k rows: for each head [nope | rope]. A part whose output has no data is left out.
struct RopeArgs {
    std::int64_t tokens = 0;
    std::int64_t heads = 0;
    std::int64_t nope_dim = 0;
    std::int64_t rope_dim = 0;
    std::int64_t v_dim = 0;
    std::int64_t kv_lora_rank = 0;
    const std::int32_t* positions = nullptr;  // [tokens]
    const float* frequencies = nullptr;       // [rope_dim / 2], of rope_frequencies()
    float magnitude = 1;                      // of rope_magnitude()
    bool keys_rotated = false;  // kv_a's rotary keys come from the cache: they are only copied
    ConstMatrix q;              // [tokens, heads * (nope_dim + rope_dim)]
    ConstMatrix kv_a;  // [tokens, kv_lora_rank + rope_dim], the rotary key shared by all heads last
    ConstMatrix kv;    // [tokens, heads * (nope_dim + v_dim)]
    Matrix q_rope;     // [tokens, heads * (nope_dim + rope_dim)]
    Matrix k;          // [tokens, heads * (nope_dim + rope_dim)]
};

// Rows of the latent cache, [normed latent | rotated rotary key]: a token's row in that of its
// sequence is its position.
struct RopeLatentArgs {
    std::int64_t sequences = 1;
    std::int64_t tokens = 0;      // of each sequence
    std::int64_t cache_rows = 0;  // from one sequence to the next
    std::int64_t rope_dim = 0;
    std::int64_t kv_lora_rank = 0;
    const std::int32_t* positions = nullptr;  // [sequences * tokens], below cache_rows
    const float* frequencies = nullptr;       // [rope_dim / 2]
    float magnitude = 1;
    ConstMatrix kv_a_norm;  // [sequences * tokens, kv_lora_rank]
    ConstMatrix kv_a;       // [sequences * tokens, kv_lora_rank + rope_dim]
    Matrix latent;          // [sequences * cache_rows, kv_lora_rank + rope_dim]

    // Of token `t` of all.
    [[nodiscard]] std::int64_t cache_row(std::int64_t t) const {
        return t / tokens * cache_rows + positions[t];
    }
};

namespace reference {
void rope(const RopeArgs& args);
void rope_latent(const RopeLatentArgs& args);
}  // namespace reference
namespace cpu {
void rope(const RopeArgs& args);
void rope_latent(const RopeLatentArgs& args);
}  // namespace cpu
namespace cuda {
void rope(const RopeArgs& args, const Launch& launch);
void rope_latent(const RopeLatentArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
