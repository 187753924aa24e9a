#include "kernels/mla_attention_backward.hpp"

#include <algorithm>

#include "kernels/cpu/attention_block.hpp"
#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

// A pair of blocks is the unit of work: scores and their gradients stay in the second-level cache.
constexpr std::int64_t kQueries = 128;
constexpr std::int64_t kKeys = kDepth;
static_assert(kKeys % kQueries == 0);  // the first query to see a block of keys begins a block

std::int64_t depths(std::int64_t width) { return ceil_divide(width, kDepth); }

// Memory of one thread. Panels are [32 keys at a time][queries, kPanel]: multiply_panel() writes
// them as sums and reads them again as the factors of dk and dv, without a copy between.
struct Scratch {
    float* q = nullptr;           // [depths(qk_dim)][queries, kRowStride]
    float* d_o = nullptr;         // [depths(v_dim)][queries, kRowStride]
    float* q_columns = nullptr;   // [qk_dim, kRowStride], a row for each column of q
    float* do_columns = nullptr;  // [v_dim, kRowStride]
    float* weights = nullptr;     // panels: scores, then p
    float* grads = nullptr;       // panels: d_o v^T, then d_s
    float* grad_rows = nullptr;   // [queries, kRowStride] d_s
    float* dk_columns = nullptr;  // [qk_dim, kRowStride]
    float* dv_columns = nullptr;  // [v_dim, kRowStride]
    float* dq = nullptr;          // [tokens, padded(qk_dim)]
    float* means = nullptr;       // [tokens] sum(d_o * o)

    std::int64_t queries = 0;  // of a block

    // Takes the pieces from `carver`, which counts bytes or hands out memory.
    template <class Carve>
    Scratch(const MlaAttentionBackwardArgs& args, Carve& carver)
        : queries(std::min(kQueries, args.tokens)) {
        q = carver.template take<float>(depths(args.qk_dim) * queries * kRowStride);
        d_o = carver.template take<float>(depths(args.v_dim) * queries * kRowStride);
        q_columns = carver.template take<float>(args.qk_dim * kRowStride);
        do_columns = carver.template take<float>(args.v_dim * kRowStride);
        weights = carver.template take<float>(queries * kKeys);
        grads = carver.template take<float>(queries * kKeys);
        grad_rows = carver.template take<float>(queries * kRowStride);
        dk_columns = carver.template take<float>(args.qk_dim * kRowStride);
        dv_columns = carver.template take<float>(args.v_dim * kRowStride);
        dq = carver.template take<float>(args.tokens * padded(args.qk_dim));
        means = carver.template take<float>(args.tokens);
    }
};

struct ByteCounter {
    std::size_t bytes = 0;
    template <class T>
    T* take(std::int64_t count) {
        bytes += workspace_bytes_of<T>(count);
        return nullptr;
    }
};

std::size_t bytes_per_thread(const MlaAttentionBackwardArgs& args) {
    ByteCounter counter;
    const Scratch sizes(args, counter);
    return counter.bytes;
}

// One head of one sequence.
struct Head {
    const MlaAttentionBackwardArgs& args;
    const Scratch& scratch;
    std::int64_t head;
    std::int64_t row0;  // of the sequence's first token
    std::int64_t qk = head * args.qk_dim;
    std::int64_t v = head * args.v_dim;
    std::int64_t kv = head * (args.nope_dim + args.v_dim) + args.nope_dim;
};

// Queries [query, query + queries) and keys [key, key + keys) of the sequence.
struct Blocks {
    std::int64_t query;
    std::int64_t queries;
    std::int64_t key;
    std::int64_t keys;
};

// columns[i * kRowStride + r] = x[row0 + r, column0 + i]
void pack_columns(const ConstMatrix& x, std::int64_t row0, std::int64_t rows, std::int64_t column0,
                  std::int64_t width, float* columns) {
    alignas(64) float panel[kDepth * kPanel];
    for (std::int64_t r = 0; r < rows; r += kPanel) {
        for (std::int64_t i = 0; i < width; i += kDepth) {
            const std::int64_t depth = std::min(kDepth, width - i);
            pack_transposed(x, row0 + r, std::min(kPanel, rows - r), column0 + i, depth, panel);
            for (std::int64_t j = 0; j < depth; ++j) {
                std::copy_n(panel + j * kPanel, kPanel, columns + (i + j) * kRowStride + r);
            }
        }
    }
}

// panels = strips y^T, for rows of y from `row` and its columns from `column`.
void products(const Blocks& blocks, const float* strips, const ConstMatrix& y, std::int64_t row,
              std::int64_t column, std::int64_t width, float* panels) {
    alignas(64) float panel[kDepth * kPanel];
    for (std::int64_t key = 0; key < blocks.keys; key += kPanel) {
        for (std::int64_t i = 0; i < width; i += kDepth) {
            const std::int64_t depth = std::min(kDepth, width - i);
            pack_transposed(y, row + key, std::min(kPanel, blocks.keys - key), column + i, depth,
                            panel);
            multiply_panel(blocks.queries, depth, strips + i / kDepth * blocks.queries * kRowStride,
                           panel, panels + key * blocks.queries, kPanel, i > 0);
        }
    }
}

// Scores to p, d_o v^T to d_s. Keys behind the query, and those that fill up a panel, get zeros.
void softmax_backward(const Head& head, const Blocks& blocks) {
    const Scratch& scratch = head.scratch;
    const float scale = head.args.scale;
    for (std::int64_t r = 0; r < blocks.queries; ++r) {
        const std::int64_t query = blocks.query + r;
        const float lse = head.args.lse[(head.row0 + query) * head.args.heads + head.head];
        const float mean = scratch.means[query];
        const std::int64_t seen = query + 1 - blocks.key;
        for (std::int64_t key = 0; key < blocks.keys; key += kPanel) {
            float* weights = scratch.weights + key * blocks.queries + r * kPanel;
            float* grads = scratch.grads + key * blocks.queries + r * kPanel;
            float* row = scratch.grad_rows + r * kRowStride + key;
            const auto limit =
                static_cast<std::int32_t>(std::clamp<std::int64_t>(seen - key, 0, kPanel));
            vectorized([&]() R1_INLINE {
#pragma omp simd
                for (std::int32_t j = 0; j < kPanel; ++j) {
                    const float weight = exp_f32(weights[j] * scale - lse);
                    const float grad = weight * (grads[j] - mean) * scale;
                    weights[j] = j < limit ? weight : 0.0F;
                    grads[j] = j < limit ? grad : 0.0F;
                    row[j] = grads[j];
                }
            });
        }
    }
}

// columns += (columns of x) * panels: the queries are summed over.
void add_products(const Blocks& blocks, const float* x_columns, std::int64_t width,
                  const float* panels, float* columns) {
    for (std::int64_t key = 0; key < blocks.keys; key += kPanel) {
        multiply_panel(width, blocks.queries, x_columns, panels + key * blocks.queries,
                       columns + key, kRowStride, true);
    }
}

void add_query_grads(const Head& head, const Blocks& blocks) {
    alignas(64) float panel[kDepth * kPanel];
    const std::int64_t stride = padded(head.args.qk_dim);
    for (std::int64_t i = 0; i < head.args.qk_dim; i += kPanel) {
        pack_panel(head.args.k, head.row0 + blocks.key, blocks.keys, head.qk + i,
                   std::min(kPanel, head.args.qk_dim - i), panel);
        multiply_panel(blocks.queries, blocks.keys, head.scratch.grad_rows, panel,
                       head.scratch.dq + blocks.query * stride + i, stride, true);
    }
}

void add_block_pair(const Head& head, const Blocks& blocks) {
    const MlaAttentionBackwardArgs& args = head.args;
    const Scratch& scratch = head.scratch;
    const std::int64_t row = head.row0 + blocks.query;
    const std::int64_t key_row = head.row0 + blocks.key;
    pack_strips(args.q, row, blocks.queries, head.qk, args.qk_dim, scratch.q);
    pack_strips(args.d_o, row, blocks.queries, head.v, args.v_dim, scratch.d_o);
    pack_columns(args.q, row, blocks.queries, head.qk, args.qk_dim, scratch.q_columns);
    pack_columns(args.d_o, row, blocks.queries, head.v, args.v_dim, scratch.do_columns);
    products(blocks, scratch.q, args.k, key_row, head.qk, args.qk_dim, scratch.weights);
    products(blocks, scratch.d_o, args.kv, key_row, head.kv, args.v_dim, scratch.grads);
    softmax_backward(head, blocks);
    add_products(blocks, scratch.do_columns, args.v_dim, scratch.weights, scratch.dv_columns);
    add_products(blocks, scratch.q_columns, args.qk_dim, scratch.grads, scratch.dk_columns);
    add_query_grads(head, blocks);
}

// y[row0 + r, column0 + i] = columns[i * kRowStride + r]
void store_columns(const float* columns, std::int64_t rows, std::int64_t width, const Matrix& y,
                   std::int64_t row0, std::int64_t column0) {
    Piece piece;
    for (std::int64_t r = 0; r < rows; ++r) {
        for_pieces(width, [&](std::int64_t column, std::int64_t count) {
            for (std::int64_t i = 0; i < count; ++i) {
                piece[static_cast<std::size_t>(i)] = columns[(column + i) * kRowStride + r];
            }
            store_row(y, row0 + r, column0 + column, count, piece.data());
        });
    }
}

void begin_head(const Head& head) {
    const MlaAttentionBackwardArgs& args = head.args;
    std::fill_n(head.scratch.dq, args.tokens * padded(args.qk_dim), 0.0F);
    Piece d_o;
    Piece o;
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        double mean = 0;
        for_pieces(args.v_dim, [&](std::int64_t column, std::int64_t count) {
            load_row(args.d_o, head.row0 + t, head.v + column, count, d_o.data());
            load_row(args.o, head.row0 + t, head.v + column, count, o.data());
            mean += sum_of_products(d_o.data(), o.data(), count);
        });
        head.scratch.means[t] = static_cast<float>(mean);
    }
}

// Gradients of one block of keys, from all queries that see one of them.
void key_block_backward(const Head& head, std::int64_t key, std::int64_t keys) {
    const MlaAttentionBackwardArgs& args = head.args;
    const Scratch& scratch = head.scratch;
    std::fill_n(scratch.dk_columns, args.qk_dim * kRowStride, 0.0F);
    std::fill_n(scratch.dv_columns, args.v_dim * kRowStride, 0.0F);
    for (std::int64_t query = key; query < args.tokens; query += kQueries) {
        const std::int64_t queries = std::min(kQueries, args.tokens - query);
        add_block_pair(head, {query, queries, key, std::min(keys, query + queries - key)});
    }
    store_columns(scratch.dk_columns, keys, args.qk_dim, args.dk, head.row0 + key, head.qk);
    store_columns(scratch.dv_columns, keys, args.v_dim, args.dv, head.row0 + key, head.v);
}

void head_backward(const Head& head) {
    const MlaAttentionBackwardArgs& args = head.args;
    begin_head(head);
    for (std::int64_t key = 0; key < args.tokens; key += kKeys) {
        key_block_backward(head, key, std::min(kKeys, args.tokens - key));
    }
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        store_row(args.dq, head.row0 + t, head.qk, args.qk_dim,
                  head.scratch.dq + t * padded(args.qk_dim));
    }
}

}  // namespace

std::size_t mla_attention_backward_workspace_bytes(const MlaAttentionBackwardArgs& args) {
    return static_cast<std::size_t>(thread_count()) * bytes_per_thread(args);
}

void mla_attention_backward(const MlaAttentionBackwardArgs& args) {
    R1_CHECK(args.workspace.size() >= mla_attention_backward_workspace_bytes(args));
    const std::size_t bytes = bytes_per_thread(args);
    parallel_for(
        args.sequences * args.heads, args.tokens * args.tokens * args.qk_dim,
        [&](std::int64_t task) {
            Carver carver(
                args.workspace.subspan(static_cast<std::size_t>(thread_index()) * bytes, bytes));
            const Scratch scratch(args, carver);
            head_backward({args, scratch, task % args.heads, task / args.heads * args.tokens});
        });
}

}  // namespace r1::cpu
