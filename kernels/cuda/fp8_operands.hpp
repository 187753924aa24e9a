// FP8 operands as our product and cuBLASLt take them.
#pragma once

#include <cstdint>

#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/product.hpp"

namespace r1::cuda {

// [rows, k] with scales of 1x128 tiles, [rows, tiles(k)].
inline ProductOperand fp8_tiles(const std::uint8_t* codes, const float* scales, std::int64_t k) {
    ProductOperand operand;
    operand.matrix = {codes, DType::e4m3, k};
    operand.scales = scales;
    operand.scale_row_stride = tiles(k);
    operand.scale_tile_stride = 1;
    return operand;
}

// [n, k] or, transposed, [k, n], with scales of 128x128 blocks that lie likewise.
inline ProductOperand fp8_blocks(const std::uint8_t* codes, const float* scales, std::int64_t n,
                                 std::int64_t k, bool transposed) {
    ProductOperand operand;
    operand.matrix = {codes, DType::e4m3, transposed ? n : k};
    operand.transposed = transposed;
    operand.group_stride = n * k;
    operand.scales = scales;
    operand.rows_per_scale = kTile;
    operand.scale_row_stride = transposed ? 1 : tiles(k);
    operand.scale_tile_stride = transposed ? tiles(n) : 1;
    operand.scale_group_stride = tiles(n) * tiles(k);
    return operand;
}

// target[column, row] = source[row, column], target's rows `stride` apart.
void transpose_scales(const float* source, std::int64_t rows, std::int64_t columns, float* target,
                      std::int64_t stride, const Launch& launch);
// target[i, column, row] = source[i, row, column] for `matrices` of them.
void transpose_codes(const std::uint8_t* source, std::int64_t matrices, std::int64_t rows,
                     std::int64_t columns, std::uint8_t* target, const Launch& launch);

}  // namespace r1::cuda
