#include "kernels/mla_decode.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention_block.hpp"
#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

// Threads share the work by splits of the keys. A split's softmax is its own, and splits are
// merged in order; they begin at fixed keys, so where a sequence ends does not move them.
constexpr std::int64_t kSplitKeys = 2048;
// Query rows (a query of a head) that are in work together, and in one task: with few splits,
// tasks of fewer rows give every thread something to do.
constexpr std::int64_t kBatchRows = 128;
constexpr std::int64_t kTaskRowsFew = 32;

// What one batch of queries of a sequence needs. Row: query * heads + head.
struct Plan {
    explicit Plan(const MlaCachedArgs& args)
        : queries(std::clamp<std::int64_t>(kBatchRows / std::max<std::int64_t>(args.heads, 1), 1,
                                           std::max<std::int64_t>(args.queries, 1))),
          rows(queries * args.heads),
          task_rows(std::min(rows, kBatchRows)),
          width(args.kv_lora_rank + args.rope_dim),
          // A panel over the latent's end runs into the rotary part, which is written after it.
          q_stride(padded(width) + kPanel),
          o_stride(padded(args.kv_lora_rank)),
          splits(ceil_divide(args.context_max, kSplitKeys)) {}

    std::int64_t queries;
    std::int64_t rows;
    std::int64_t task_rows;
    std::int64_t width;
    std::int64_t q_stride;
    std::int64_t o_stride;
    std::int64_t splits;

    [[nodiscard]] std::int64_t scratch_rows() const { return std::max(task_rows, queries); }
    // The projections use it for one block of rows and of results.
    [[nodiscard]] std::int64_t scratch() const {
        return aligned(attention_scratch(scratch_rows(), width));
    }
    static std::int64_t aligned(std::int64_t floats) { return ceil_divide(floats, 16) * 16; }
};

struct Buffers {
    float* q;            // [rows, q_stride] absorbed queries
    float* sums;         // [splits, rows, o_stride]; in the end the first split has the result
    float* largest;      // [splits, rows]
    float* total;        // [splits, rows]
    std::int64_t* seen;  // [rows]
    float* scratch;      // [threads, plan.scratch()]
};

struct Batch {
    const MlaCachedArgs& args;
    const Plan& plan;
    const Buffers& buffers;
    std::int64_t sequence;
    std::int64_t first;  // query
    std::int64_t queries;
    std::int64_t rows = queries * args.heads;
    std::int64_t row0 = sequence * args.queries + first;  // of q and o
    std::int64_t keys = args.context(sequence) - args.queries + first + queries;
    std::int64_t splits = ceil_divide(keys, kSplitKeys);

    [[nodiscard]] float* own_scratch() const {
        return buffers.scratch + thread_index() * plan.scratch();
    }

    // q_latent = q_nope W_uk, and the rotary part beside it.
    void absorb(std::int64_t head) const {
        alignas(64) float panel[kDepth * kPanel];
        float* a = own_scratch();
        float* target = buffers.q + head * plan.q_stride;
        const std::int64_t q_column = head * (args.nope_dim + args.rope_dim);
        const std::int64_t w_row = head * (args.nope_dim + args.v_dim);
        for (std::int64_t i = 0; i < args.nope_dim; i += kDepth) {
            const std::int64_t depth = std::min(kDepth, args.nope_dim - i);
            pack_rows(args.q, row0, queries, q_column + i, depth, a);
            for (std::int64_t column = 0; column < args.kv_lora_rank; column += kPanel) {
                pack_panel(args.kv_b, w_row + i, depth, column,
                           std::min(kPanel, args.kv_lora_rank - column), panel);
                multiply_panel(queries, depth, a, panel, target + column,
                               args.heads * plan.q_stride, i > 0);
            }
        }
        for (std::int64_t query = 0; query < queries; ++query) {
            float* row = target + query * args.heads * plan.q_stride;
            load_row(args.q, row0 + query, q_column + args.nope_dim, args.rope_dim,
                     row + args.kv_lora_rank);
            buffers.seen[query * args.heads + head] =
                args.context(sequence) - args.queries + first + query + 1;
        }
    }

    void attend_split(std::int64_t split, std::int64_t row, std::int64_t count) const {
        const std::int64_t at = split * plan.rows + row;
        AttentionBlock block;
        block.rows = count;
        block.qk_dim = plan.width;
        block.v_dim = args.kv_lora_rank;
        block.scale = args.scale;
        block.q = own_scratch();
        block.scores = block.q + ceil_divide(plan.width, kDepth) * count * kRowStride;
        block.seen = buffers.seen + row;
        block.sums = buffers.sums + at * plan.o_stride;
        block.largest = buffers.largest + at;
        block.total = buffers.total + at;
        begin_attention(block, {buffers.q, DType::f32, plan.q_stride}, row, 0);
        const std::int64_t end = std::min(keys, (split + 1) * kSplitKeys);
        for (std::int64_t key = split * kSplitKeys; key < end; key += kKeyChunk) {
            attend(block, {args.latent, 0, args.latent, 0, sequence * args.cache_rows + key, key,
                           std::min(kKeyChunk, end - key)});
        }
    }

    // Adds up the splits of a row and divides by the sum of its weights.
    void merge(std::int64_t row) const {
        float* sums = buffers.sums + row * plan.o_stride;
        float largest = buffers.largest[row];
        float total = buffers.total[row];
        for (std::int64_t split = 1; split < splits; ++split) {
            const std::int64_t at = split * plan.rows + row;
            const float higher = std::max(largest, buffers.largest[at]);
            const float factor = exp_f32(largest - higher);
            const float other_factor = exp_f32(buffers.largest[at] - higher);
            const float* other = buffers.sums + at * plan.o_stride;
            vectorized([&]() R1_INLINE {
#pragma omp simd
                for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
                    sums[i] = sums[i] * factor + other[i] * other_factor;
                }
            });
            total = total * factor + buffers.total[at] * other_factor;
            largest = higher;
        }
        for (std::int64_t i = 0; i < args.kv_lora_rank; ++i) {
            sums[i] /= total;
        }
    }

    // o = o_latent W_uv^T
    void project(std::int64_t head) const {
        alignas(64) float panel[kDepth * kPanel];
        float* a = own_scratch();
        const ConstMatrix latent = {buffers.sums + head * plan.o_stride, DType::f32,
                                    args.heads * plan.o_stride};
        const std::int64_t w_row = head * (args.nope_dim + args.v_dim) + args.nope_dim;
        float* c = a + queries * kRowStride;  // [queries, kPanel]
        for (std::int64_t column = 0; column < args.v_dim; column += kPanel) {
            const std::int64_t columns = std::min(kPanel, args.v_dim - column);
            for (std::int64_t i = 0; i < args.kv_lora_rank; i += kDepth) {
                const std::int64_t depth = std::min(kDepth, args.kv_lora_rank - i);
                pack_rows(latent, 0, queries, i, depth, a);
                pack_transposed(args.kv_b, w_row + column, columns, i, depth, panel);
                multiply_panel(queries, depth, a, panel, c, kPanel, i > 0);
            }
            for (std::int64_t query = 0; query < queries; ++query) {
                store_row(args.o, row0 + query, head * args.v_dim + column, columns,
                          c + query * kPanel);
            }
        }
    }

    void run() const {
        const std::int64_t work = kParallelElementsMin;  // every task is worth a thread
        parallel_for(args.heads, work, [&](std::int64_t head) { absorb(head); });
        const std::int64_t task_rows =
            splits >= 2 * thread_count() ? plan.task_rows : std::min(plan.task_rows, kTaskRowsFew);
        const std::int64_t blocks = ceil_divide(rows, task_rows);
        parallel_for(splits * blocks, work, [&](std::int64_t task) {
            const std::int64_t row = task % blocks * task_rows;
            attend_split(task / blocks, row, std::min(task_rows, rows - row));
        });
        parallel_for(rows, args.kv_lora_rank * splits, [&](std::int64_t row) { merge(row); });
        parallel_for(args.heads, work, [&](std::int64_t head) { project(head); });
    }
};

}  // namespace

std::size_t mla_decode_workspace_bytes(const MlaCachedArgs& args) {
    const Plan plan(args);
    return workspace_bytes_of<float>(plan.rows * plan.q_stride) +
           workspace_bytes_of<float>(plan.splits * plan.rows * plan.o_stride) +
           2 * workspace_bytes_of<float>(plan.splits * plan.rows) +
           workspace_bytes_of<std::int64_t>(plan.rows) +
           workspace_bytes_of<float>(thread_count() * plan.scratch());
}

void mla_decode(const MlaCachedArgs& args) {
    if (args.queries == 0) {
        return;
    }
    const Plan plan(args);
    Carver carver(args.workspace);
    Buffers buffers{};
    buffers.q = carver.take<float>(plan.rows * plan.q_stride);
    buffers.sums = carver.take<float>(plan.splits * plan.rows * plan.o_stride);
    buffers.largest = carver.take<float>(plan.splits * plan.rows);
    buffers.total = carver.take<float>(plan.splits * plan.rows);
    buffers.seen = carver.take<std::int64_t>(plan.rows);
    buffers.scratch = carver.take<float>(thread_count() * plan.scratch());
    for (std::int64_t sequence = 0; sequence < args.sequences; ++sequence) {
        const std::int64_t context = args.context(sequence);
        R1_CHECK(context >= args.queries && context <= args.cache_rows &&
                 context <= args.context_max);
        for (std::int64_t query = 0; query < args.queries; query += plan.queries) {
            Batch{args,     plan,  buffers,
                  sequence, query, std::min(plan.queries, args.queries - query)}
                .run();
        }
    }
}

}  // namespace r1::cpu
