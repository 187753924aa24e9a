// What attention over the latent cache of MLA takes, in both of its forms: mla_prefill makes keys
// and values from the latents, mla_decode moves queries into the latents' space.
//
// The last of the `queries` new tokens of a sequence is its cache's last row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/matrix.hpp"

namespace r1 {

struct MlaCachedArgs {
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
    const std::int32_t* positions = nullptr;  // [sequences * queries], consecutive in a sequence
    ConstMatrix q;       // [sequences * queries, heads * (nope_dim + rope_dim)], rotated
    ConstMatrix latent;  // [sequences * cache_rows, kv_lora_rank + rope_dim], keys rotated
    ConstMatrix kv_b;    // [heads * (nope_dim + v_dim), kv_lora_rank]
    Matrix o;            // [sequences * queries, heads * v_dim]
    std::span<std::byte> workspace;

    [[nodiscard]] std::int64_t qk_dim() const { return nope_dim + rope_dim; }
    // Rows of a sequence in the cache, new ones included.
    [[nodiscard]] std::int64_t context(std::int64_t sequence) const {
        return positions[(sequence + 1) * queries - 1] + std::int64_t{1};
    }
};

}  // namespace r1
