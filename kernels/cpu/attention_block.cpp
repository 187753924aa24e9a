#include "kernels/cpu/attention_block.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

namespace {

constexpr std::int64_t kLanes = 16;

// Scores to weights relative to the largest score so far; what was summed before is scaled down
// to it. `count`: the keys of the chunk that the row sees, at least one; `end`: where weights end.
void softmax_row(const AttentionBlock& block, std::int64_t row, std::int64_t count,
                 std::int64_t end) {
    float* scores = block.scores + row * kRowStride;
    float* sums = block.sums + row * padded(block.v_dim);
    const std::int64_t full = ceil_divide(count, kLanes) * kLanes;
    const float scale = block.scale;
    const float before = block.largest[row];
    // Lanes beyond the last key: their weight is exactly zero.
    std::fill(scores + count, scores + full, -INFINITY);
    std::array<float, kLanes> lanes{};
    float largest = before;
    vectorized([&]() R1_INLINE {
        float top = before;
#pragma omp simd reduction(max : top)
        for (std::int64_t i = 0; i < full; ++i) {
            scores[i] *= scale;
            top = scores[i] > top ? scores[i] : top;
        }
        for (std::int64_t i = 0; i < full; i += kLanes) {
#pragma omp simd
            for (std::int64_t lane = 0; lane < kLanes; ++lane) {
                const float weight = exp_f32(scores[i + lane] - top);
                scores[i + lane] = weight;
                lanes[static_cast<std::size_t>(lane)] += weight;
            }
        }
        largest = top;
    });
    float total = 0;
    for (const float lane : lanes) {
        total += lane;
    }
    std::fill(scores + std::min(full, end), scores + end, 0.0F);
    block.largest[row] = largest;
    if (largest == before) {
        block.total[row] += total;
        return;
    }
    const float factor = exp_f32(before - largest);
    block.total[row] = block.total[row] * factor + total;
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < padded(block.v_dim); ++i) {
            sums[i] *= factor;
        }
    });
}

}  // namespace

void pack_strips(const ConstMatrix& x, std::int64_t row0, std::int64_t rows, std::int64_t column0,
                 std::int64_t width, float* strips) {
    for (std::int64_t i = 0; i < width; i += kDepth) {
        pack_rows(x, row0, rows, column0 + i, std::min(kDepth, width - i),
                  strips + i / kDepth * rows * kRowStride);
    }
}

void pack_queries(const AttentionBlock& block, const ConstMatrix& x, std::int64_t row0,
                  std::int64_t column0) {
    pack_strips(x, row0, block.rows, column0, block.qk_dim, block.q);
}

void clear_attention(const AttentionBlock& block) {
    std::fill_n(block.sums, block.rows * padded(block.v_dim), 0.0F);
    std::fill_n(block.largest, block.rows, -INFINITY);
    std::fill_n(block.total, block.rows, 0.0F);
}

void begin_attention(const AttentionBlock& block, const ConstMatrix& x, std::int64_t row0,
                     std::int64_t column0) {
    pack_queries(block, x, row0, column0);
    clear_attention(block);
}

void finish_attention(const AttentionBlock& block) {
    for (std::int64_t r = 0; r < block.rows; ++r) {
        float* sums = block.sums + r * padded(block.v_dim);
        for (std::int64_t i = 0; i < block.v_dim; ++i) {
            sums[i] /= block.total[r];
        }
    }
}

void attend(const AttentionBlock& block, const KeyChunk& chunk) {
    alignas(64) float panel[kDepth * kPanel];
    for (std::int64_t key = 0; key < chunk.count; key += kPanel) {
        const std::int64_t keys = std::min(kPanel, chunk.count - key);
        for (std::int64_t i = 0; i < block.qk_dim; i += kDepth) {
            const std::int64_t depth = std::min(kDepth, block.qk_dim - i);
            pack_transposed(chunk.keys, chunk.row0 + key, keys, chunk.key_column + i, depth, panel);
            multiply_panel(block.rows, depth, block.q + i / kDepth * block.rows * kRowStride, panel,
                           block.scores + key, kRowStride, i > 0);
        }
    }
    for (std::int64_t row = 0; row < block.rows; ++row) {
        const std::int64_t count =
            std::clamp<std::int64_t>(block.seen[row] - chunk.begin, 0, chunk.count);
        if (count == 0) {
            std::fill_n(block.scores + row * kRowStride, chunk.count, 0.0F);
        } else {
            softmax_row(block, row, count, chunk.count);
        }
    }
    for (std::int64_t column = 0; column < block.v_dim; column += kPanel) {
        pack_panel(chunk.values, chunk.row0, chunk.count, chunk.value_column + column,
                   std::min(kPanel, block.v_dim - column), panel);
        multiply_panel(block.rows, chunk.count, block.scores, panel, block.sums + column,
                       padded(block.v_dim), true);
    }
}

}  // namespace r1::cpu
