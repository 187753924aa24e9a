// The inner part of every matrix product here: some rows times a panel of 32 columns over at most
// kDepth elements of k. Rows lie at a fixed stride, panels hold [k][32] in cache.
//
// An element's products are added one by one in the order of k, in every instruction set and
// wherever a row falls in a block. All that the kernels promise about same bytes rests on this.
#pragma once

#include <cstdint>

#include "kernels/matrix.hpp"

namespace r1::cpu {

inline constexpr std::int64_t kPanel = 32;
inline constexpr std::int64_t kDepth = 256;
// Off a power of two, so that the rows of a strip fall into different cache sets.
inline constexpr std::int64_t kRowStride = kDepth + 16;

inline constexpr std::int64_t ceil_divide(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}
inline constexpr std::int64_t padded(std::int64_t width) {
    return ceil_divide(width, kPanel) * kPanel;
}

// Converts x[row0 + r, column0 + i] to a[r * kRowStride + i].
void pack_rows(const ConstMatrix& x, std::int64_t row0, std::int64_t rows, std::int64_t column0,
               std::int64_t depth, float* a);

// a[r * a_stride + i] = x[row0 + i, column0 + r] for r < rows, i < depth: the rows of x^T. a is
// aligned to 64 bytes and a_stride a multiple of 16.
void pack_rows_transposed(const ConstMatrix& x, std::int64_t row0, std::int64_t depth,
                          std::int64_t column0, std::int64_t rows, float* a, std::int64_t a_stride);

// b[i * kPanel + j] = w[row0 + j, column0 + i] for j < rows, i < depth; zero for other j: the
// panel of y = x W^T.
void pack_transposed(const ConstMatrix& w, std::int64_t row0, std::int64_t rows,
                     std::int64_t column0, std::int64_t depth, float* b);

// b[i * kPanel + j] = w[row0 + i, column0 + j] for i < depth, j < columns; zero for other j: the
// panel of y = x W.
void pack_panel(const ConstMatrix& w, std::int64_t row0, std::int64_t depth, std::int64_t column0,
                std::int64_t columns, float* b);

// c[r * c_stride + j] (+)= sum over i of a[r * kRowStride + i] * b[i * kPanel + j], all 32 j.
// b is aligned to 64 bytes.
void multiply_panel(std::int64_t rows, std::int64_t depth, const float* a, const float* b, float* c,
                    std::int64_t c_stride, bool accumulate);

}  // namespace r1::cpu
