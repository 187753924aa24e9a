// Causal attention in the absorbed form of MLA, straight over the latent cache: kv_b's key half
// moves into the query (q_latent = q_nope W_uk), scores are q_latent . latent + q_rope . k_rope,
// and kv_b's value half is applied to the weighted sum of latents. No keys or values are made.
//
// The last of the `queries` new tokens of a sequence is its cache's last row. Key splits and
// chunks begin at fixed rows, so a query's result is the same bytes whatever queries and
// sequences are computed beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/matrix.hpp"

namespace r1 {

struct MlaDecodeArgs {
    std::int64_t sequences = 1;
    std::int64_t queries = 1;      // new tokens of each sequence, their latents in the cache
    std::int64_t cache_rows = 0;   // rows of the cache from one sequence to the next
    std::int64_t context_max = 0;  // the largest context, for the workspace
    std::int64_t heads = 0;
    std::int64_t nope_dim = 0;
    std::int64_t rope_dim = 0;
    std::int64_t v_dim = 0;
    std::int64_t kv_lora_rank = 0;
    float scale = 1;
    const std::int32_t* contexts = nullptr;  // [sequences], rows in the cache, new ones included
    ConstMatrix q;       // [sequences * queries, heads * (nope_dim + rope_dim)], rotated
    ConstMatrix latent;  // [sequences * cache_rows, kv_lora_rank + rope_dim], keys rotated
    ConstMatrix kv_b;    // [heads * (nope_dim + v_dim), kv_lora_rank]
    Matrix o;            // [sequences * queries, heads * v_dim]
    std::span<std::byte> workspace;
};

namespace reference {
void mla_decode(const MlaDecodeArgs& args);  // sums in double; needs its workspace too
std::size_t mla_decode_workspace_bytes(const MlaDecodeArgs& args);
}  // namespace reference
namespace cpu {
std::size_t mla_decode_workspace_bytes(const MlaDecodeArgs& args);
void mla_decode(const MlaDecodeArgs& args);
}  // namespace cpu

}  // namespace r1
