// Pieces of rows as floats, whatever they are stored as.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/matrix.hpp"

namespace r1::cpu {

// Kernels go over rows in pieces of this many columns, converted on the stack. A multiple of
// kTile, so FP8 tiles are never cut.
inline constexpr std::int64_t kPiece = 1024;
using Piece = std::array<float, kPiece>;

void load_row(const ConstMatrix& matrix, std::int64_t row, std::int64_t column, std::int64_t count,
              float* values);
void store_row(const Matrix& matrix, std::int64_t row, std::int64_t column, std::int64_t count,
               const float* values);

// y[row, target ..] = x[row, column ..], `width` columns.
void copy_columns(const ConstMatrix& x, std::int64_t row, std::int64_t column, const Matrix& y,
                  std::int64_t target, std::int64_t width);

// The sum of a[i] * b[i] in double, in sixteen running sums whatever the width of the registers:
// the same bytes on every machine.
double sum_of_products(const float* a, const float* b, std::int64_t count);

// body(column, count) for the pieces of a row of `width` columns.
template <class Body>
void for_pieces(std::int64_t width, const Body& body) {
    for (std::int64_t column = 0; column < width; column += kPiece) {
        body(column, width - column < kPiece ? width - column : kPiece);
    }
}

}  // namespace r1::cpu
