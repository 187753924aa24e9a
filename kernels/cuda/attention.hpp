// Causal attention on the device, in the form that the kernels of MLA share: o = softmax(scale q
// k^T) v by tiles of 64 queries and 64 keys with a running softmax (FlashAttention-2, arXiv
// 2307.08691), on the tensor cores of mma.sync; float32 as BF16 limbs (kernels/cuda/tile.cuh).
//
// Tiles of keys begin at multiples of 64, splits at fixed keys: a query's result is the same bytes
// whatever queries are computed beside it. What it reaches on a GPU has not been measured; tiles
// are loaded before they are multiplied, and only other blocks of the multiprocessor hide that.
// MLA's latents and heads of its sizes have kernels of their own on Hopper
// (kernels/cuda/hopper/latent_attention.hpp, head_attention.hpp).
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1::cuda {

// Columns [column + head * head_stride, ...) of a matrix.
struct HeadColumns {
    ConstMatrix matrix;
    std::int64_t column = 0;
    std::int64_t head_stride = 0;
};

struct Attention {
    std::int64_t sequences = 1;
    std::int64_t queries = 0;  // of each sequence, the last ones of its keys
    // Rows of q and o for each query: 1, or the heads where all of them share keys and values.
    std::int64_t rows_per_query = 1;
    std::int64_t heads = 1;
    std::int64_t qk_dim = 0;
    std::int64_t v_dim = 0;
    float scale = 1;
    std::int64_t keys_max = 0;  // of a sequence
    // [sequences * queries]: the last query of a sequence is at its last key; null: keys_max
    const std::int32_t* positions = nullptr;
    std::int64_t key_rows = 0;  // rows of k and v from one sequence to the next
    HeadColumns q;              // [sequences * queries * rows_per_query, qk_dim]
    HeadColumns k;              // [sequences * key_rows, k_dim]
    std::int64_t k_dim = 0;     // columns that k has; the others of qk_dim are
    HeadColumns k_shared;       // of all heads
    HeadColumns v;              // [sequences * key_rows, v_dim]
    bool v_is_k = false;        // v is the first columns of k: they are read once
    Matrix o;                   // [sequences * queries * rows_per_query, heads * v_dim]
    float* lse = nullptr;       // [sequences * queries * rows_per_query, heads] or null
    // More than one: the keys are shared out among so many blocks, with one head.
    std::int64_t splits = 1;
    std::int64_t split_keys = 0;  // of each, a multiple of 64
    float* split_o = nullptr;     // [splits, rows, v_dim]
    float* split_lse = nullptr;   // [splits, rows]
};

void attention(const Attention& args, const Launch& launch);

}  // namespace r1::cuda
