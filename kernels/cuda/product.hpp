// Matrix products by our own kernel, for what cuBLASLt has no function for: FP8 with scales in our
// layouts and at any size, groups whose sizes only the device knows, operands of two types.
//
// y = a b^T, or y += a b^T. BF16 and E4M3 elements are multiplied as BF16 on the tensor cores,
// which is exact; float32 as three BF16 limbs (kernels/cuda/tile.cuh). Sums are float32. With
// scales, the sum over each 128 elements of k, at multiples of 128, is multiplied by the scale of
// a, then of b, and added in float32. The order of additions depends on k only: a row of y is the
// same bytes whatever rows are beside it, on any number of multiprocessors.
//
// What it reaches on a GPU has not been measured. FP8 operands along k have a kernel of their own
// on Hopper (kernels/cuda/hopper/product.hpp), whose tensor cores add the products of 128 elements
// with some 14 bits. All else is written with mma.sync, which on Hopper gives up to about two
// thirds of what wgmma does, and multiplies FP8 at the rate of BF16.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1::cuda {

struct ProductOperand {
    ConstMatrix matrix;             // [rows, k] f32, bf16 or e4m3
    bool transposed = false;        // [k, rows]
    std::int64_t group_stride = 0;  // elements from one group to the next
    // Scale of element (row, k): scales[row / rows_per_scale * row_stride + k / 128 * tile_stride].
    const float* scales = nullptr;
    std::int64_t rows_per_scale = 1;
    std::int64_t scale_row_stride = 0;
    std::int64_t scale_tile_stride = 0;
    std::int64_t scale_group_stride = 0;
};

// What the range [offsets[i], offsets[i + 1]) of a group is of.
enum class ProductGroups {
    batch,  // no offsets: all groups have the sizes m, n, k
    rows,   // of a and y; a group has its own b
    depth,  // elements of k; a group has its own y
};

struct Product {
    std::int64_t m = 0;  // with ProductGroups::rows: as many as a has memory for
    std::int64_t n = 0;
    std::int64_t k = 0;  // not read with ProductGroups::depth
    ProductOperand a;
    ProductOperand b;
    Matrix y;
    std::int64_t y_group_stride = 0;  // elements
    bool accumulate = false;
    std::int64_t groups = 1;
    ProductGroups grouping = ProductGroups::batch;
    const std::int32_t* offsets = nullptr;  // [groups + 1], on the device
    // ProductGroups::depth: rows of both operands and of their scales are as long as k of all
    // groups together, whatever their strides say.
    bool strides_from_offsets = false;
};

void product(const Product& args, const Launch& launch);

}  // namespace r1::cuda
