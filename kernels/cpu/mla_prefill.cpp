#include "kernels/mla_prefill.hpp"

#include <algorithm>

#include "kernels/cpu/attention_block.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/rope.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

// Keys that are made at a time, for all heads: whole chunks, and few enough that they stay near.
constexpr std::int64_t kBlockKeys = 4 * kKeyChunk;
// Queries of one task. A multiple of the rows that fit the registers.
constexpr std::int64_t kBlockRows = 8 * 14;

std::int64_t element_bytes(const MlaCachedArgs& args) {
    return static_cast<std::int64_t>(bits(args.q.dtype) / 8);
}

GemmBf16Args projection(const MlaCachedArgs& args, std::int64_t row0, std::int64_t count) {
    GemmBf16Args gemm;
    gemm.m = count;
    gemm.n = args.heads * (args.nope_dim + args.v_dim);
    gemm.k = args.kv_lora_rank;
    const auto bytes = static_cast<std::int64_t>(bits(args.latent.dtype) / 8);
    gemm.x = args.latent;
    gemm.x.data =
        static_cast<const std::byte*>(args.latent.data) + row0 * args.latent.stride * bytes;
    gemm.w = args.kv_b;
    return gemm;
}

// What one sequence needs. Sums and the like: [heads, queries].
struct Buffers {
    Matrix kv;  // [kBlockKeys, heads * (nope_dim + v_dim)]
    Matrix k;   // [kBlockKeys, heads * qk_dim]
    std::span<std::byte> gemm;
    float* sums;  // [heads, queries, padded(v_dim)]
    float* largest;
    float* total;
    std::int64_t* seen;  // [queries]
    float* scratch;      // [threads, scratch_floats]
};

std::int64_t scratch_floats(const MlaCachedArgs& args) {
    const std::int64_t floats =
        attention_scratch(std::min(kBlockRows, args.queries), args.qk_dim());
    return ceil_divide(floats, 16) * 16;
}

Buffers carve(const MlaCachedArgs& args) {
    Carver carver(args.workspace);
    Buffers buffers{};
    const std::int64_t kv_width = args.heads * (args.nope_dim + args.v_dim);
    const std::int64_t k_width = args.heads * args.qk_dim();
    const std::int64_t block = std::min(kBlockKeys, args.context_max);
    const std::int64_t bytes = element_bytes(args);
    buffers.kv = {carver.take<std::byte>(block * kv_width * bytes), args.q.dtype, kv_width};
    buffers.k = {carver.take<std::byte>(block * k_width * bytes), args.q.dtype, k_width};
    const auto gemm_bytes =
        static_cast<std::int64_t>(gemm_bf16_workspace_bytes(projection(args, 0, block)));
    buffers.gemm = {carver.take<std::byte>(gemm_bytes), static_cast<std::size_t>(gemm_bytes)};
    buffers.sums = carver.take<float>(args.heads * args.queries * padded(args.v_dim));
    buffers.largest = carver.take<float>(args.heads * args.queries);
    buffers.total = carver.take<float>(args.heads * args.queries);
    buffers.seen = carver.take<std::int64_t>(args.queries);
    buffers.scratch = carver.take<float>(thread_count() * scratch_floats(args));
    return buffers;
}

struct Sequence {
    const MlaCachedArgs& args;
    const Buffers& buffers;
    std::int64_t sequence;
    std::int64_t context = args.context(sequence);
    std::int64_t row0 = sequence * args.queries;  // of q and o
    std::int64_t blocks = ceil_divide(args.queries, kBlockRows);

    [[nodiscard]] AttentionBlock block_of(std::int64_t head, std::int64_t first) const {
        const std::int64_t at = head * args.queries + first;
        AttentionBlock block;
        block.rows = std::min(kBlockRows, args.queries - first);
        block.qk_dim = args.qk_dim();
        block.v_dim = args.v_dim;
        block.scale = args.scale;
        block.q = buffers.scratch + thread_index() * scratch_floats(args);
        block.scores = block.q + ceil_divide(block.qk_dim, kDepth) * block.rows * kRowStride;
        block.seen = buffers.seen + first;
        block.sums = buffers.sums + at * padded(args.v_dim);
        block.largest = buffers.largest + at;
        block.total = buffers.total + at;
        return block;
    }

    // body(head, first query) for each block of queries of each head.
    template <class Body>
    void for_blocks(const Body& body) const {
        parallel_for(args.heads * blocks, kParallelElementsMin,
                     [&](std::int64_t task) { body(task / blocks, task % blocks * kBlockRows); });
    }

    // Keys and values of cache rows [key0, key0 + count), for all heads.
    void make_keys(std::int64_t key0, std::int64_t count) const {
        const std::int64_t cache_row = sequence * args.cache_rows + key0;
        GemmBf16Args gemm = projection(args, cache_row, count);
        gemm.y = buffers.kv;
        gemm.workspace = buffers.gemm;
        gemm_bf16(gemm);
        RopeArgs rope_args;
        rope_args.tokens = count;
        rope_args.heads = args.heads;
        rope_args.nope_dim = args.nope_dim;
        rope_args.rope_dim = args.rope_dim;
        rope_args.v_dim = args.v_dim;
        rope_args.kv_lora_rank = args.kv_lora_rank;
        rope_args.keys_rotated = true;
        rope_args.kv_a = gemm.x;
        rope_args.kv = buffers.kv;
        rope_args.k = buffers.k;
        rope(rope_args);
    }

    void attend_block(std::int64_t key0, std::int64_t count) const {
        for_blocks([&](std::int64_t head, std::int64_t first) {
            const AttentionBlock block = block_of(head, first);
            const std::int64_t end = std::min(key0 + count, block.seen[block.rows - 1]);
            if (key0 >= end) {
                return;
            }
            pack_queries(block, args.q, row0 + first, head * args.qk_dim());
            const std::int64_t value_column = head * (args.nope_dim + args.v_dim) + args.nope_dim;
            for (std::int64_t key = key0; key < end; key += kKeyChunk) {
                attend(block, {buffers.k, head * args.qk_dim(), buffers.kv, value_column,
                               key - key0, key, std::min(kKeyChunk, end - key)});
            }
        });
    }

    void run() const {
        for (std::int64_t query = 0; query < args.queries; ++query) {
            buffers.seen[query] = context - args.queries + query + 1;
        }
        for_blocks(
            [&](std::int64_t head, std::int64_t first) { clear_attention(block_of(head, first)); });
        for (std::int64_t key = 0; key < context; key += kBlockKeys) {
            const std::int64_t count = std::min(kBlockKeys, context - key);
            make_keys(key, count);
            attend_block(key, count);
        }
        for_blocks([&](std::int64_t head, std::int64_t first) {
            const AttentionBlock block = block_of(head, first);
            finish_attention(block);
            for (std::int64_t r = 0; r < block.rows; ++r) {
                store_row(args.o, row0 + first + r, head * args.v_dim, args.v_dim,
                          block.sums + r * padded(args.v_dim));
            }
        });
    }
};

}  // namespace

std::size_t mla_prefill_workspace_bytes(const MlaCachedArgs& args) {
    const std::int64_t block = std::min(kBlockKeys, args.context_max);
    const std::int64_t widths = args.heads * (args.nope_dim + args.v_dim);
    const std::int64_t rows = args.heads * args.queries;
    const std::int64_t bytes = element_bytes(args);
    return workspace_bytes_of<std::byte>(block * widths * bytes) +
           workspace_bytes_of<std::byte>(block * args.heads * args.qk_dim() * bytes) +
           aligned_bytes(gemm_bf16_workspace_bytes(projection(args, 0, block))) +
           workspace_bytes_of<float>(rows * padded(args.v_dim)) +
           2 * workspace_bytes_of<float>(rows) + workspace_bytes_of<std::int64_t>(args.queries) +
           workspace_bytes_of<float>(thread_count() * scratch_floats(args));
}

void mla_prefill(const MlaCachedArgs& args) {
    if (args.queries == 0) {
        return;
    }
    const Buffers buffers = carve(args);
    for (std::int64_t sequence = 0; sequence < args.sequences; ++sequence) {
        const std::int64_t context = args.context(sequence);
        R1_CHECK(context >= args.queries && context <= args.cache_rows &&
                 context <= args.context_max);
        Sequence{args, buffers, sequence}.run();
    }
}

}  // namespace r1::cpu
