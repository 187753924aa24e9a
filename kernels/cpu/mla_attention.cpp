#include "kernels/mla_attention.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention_block.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

// Queries of one task. A multiple of the rows that fit the registers.
constexpr std::int64_t kBlockRows = 8 * 14;

std::size_t bytes_per_thread(const MlaAttentionArgs& args) {
    const std::int64_t rows = std::min(kBlockRows, args.queries);
    return workspace_bytes_of<float>(attention_scratch(rows, args.qk_dim)) +
           workspace_bytes_of<float>(rows * padded(args.v_dim)) +
           2 * workspace_bytes_of<float>(rows) + workspace_bytes_of<std::int64_t>(rows);
}

AttentionBlock block_of(const MlaAttentionArgs& args, std::int64_t rows,
                        std::span<std::byte> scratch) {
    Carver carver(scratch);
    AttentionBlock block;
    block.rows = rows;
    block.qk_dim = args.qk_dim;
    block.v_dim = args.v_dim;
    block.scale = args.scale;
    block.q = carver.take<float>(attention_scratch(rows, args.qk_dim));
    block.scores = block.q + ceil_divide(args.qk_dim, kDepth) * rows * kRowStride;
    block.sums = carver.take<float>(rows * padded(args.v_dim));
    block.largest = carver.take<float>(rows);
    block.total = carver.take<float>(rows);
    block.seen = carver.take<std::int64_t>(rows);
    return block;
}

void write(const MlaAttentionArgs& args, const AttentionBlock& block, std::int64_t row0,
           std::int64_t head) {
    finish_attention(block);
    for (std::int64_t r = 0; r < block.rows; ++r) {
        store_row(args.o, row0 + r, head * args.v_dim, args.v_dim,
                  block.sums + r * padded(args.v_dim));
        if (args.lse != nullptr) {
            args.lse[(row0 + r) * args.heads + head] =
                static_cast<float>(static_cast<double>(block.largest[r]) +
                                   std::log(static_cast<double>(block.total[r])));
        }
    }
}

}  // namespace

std::size_t mla_attention_workspace_bytes(const MlaAttentionArgs& args) {
    return static_cast<std::size_t>(thread_count()) * bytes_per_thread(args);
}

void mla_attention(const MlaAttentionArgs& args) {
    R1_CHECK(args.query_offset >= 0 && args.query_offset + args.queries <= args.keys);
    R1_CHECK(args.workspace.size() >= mla_attention_workspace_bytes(args));
    const std::int64_t blocks = ceil_divide(args.queries, kBlockRows);
    const std::size_t scratch_bytes = bytes_per_thread(args);
    parallel_for(
        args.sequences * args.heads * blocks, kParallelElementsMin, [&](std::int64_t task) {
            const std::int64_t first = task % blocks * kBlockRows;
            const std::int64_t head = task / blocks % args.heads;
            const std::int64_t sequence = task / blocks / args.heads;
            const AttentionBlock block = block_of(
                args, std::min(kBlockRows, args.queries - first),
                args.workspace.subspan(static_cast<std::size_t>(thread_index()) * scratch_bytes,
                                       scratch_bytes));
            const std::int64_t row0 = sequence * args.queries + first;
            begin_attention(block, args.q, row0, head * args.qk_dim);
            for (std::int64_t r = 0; r < block.rows; ++r) {
                block.seen[r] = args.query_offset + first + r + 1;
            }
            const std::int64_t keys = block.seen[block.rows - 1];
            for (std::int64_t key = 0; key < keys; key += kKeyChunk) {
                attend(block, {args.k, head * args.qk_dim, args.kv,
                               head * (args.nope_dim + args.v_dim) + args.nope_dim,
                               sequence * args.keys + key, key, std::min(kKeyChunk, keys - key)});
            }
            write(args, block, row0, head);
        });
}

}  // namespace r1::cpu
