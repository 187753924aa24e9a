// A block turns 128 rows by 64 columns through shared memory.
#include "kernels/requantize_transpose_fp8.hpp"

#include "kernels/cuda/fp8.cuh"

namespace r1::cuda {

namespace {

constexpr int kRows = static_cast<int>(kTile);
constexpr int kColumns = 64;
constexpr int kStride = kColumns + 1;  // columns are read too: no two rows in one bank

struct RequantizeTranspose {
    RequantizeTransposeFp8Args args;
    Rows x, y;
};

__device__ Group input_group(const RequantizeTranspose& p, std::int64_t row, std::int64_t column) {
    const RequantizeTransposeFp8Args& a = p.args;
    if (row >= a.rows || column >= a.width) {
        return {};
    }
    if (a.codes == nullptr) {
        return load_group(p.x, row, column, a.width);
    }
    Group group = values_of(load_codes(a.codes + row * a.width + column, a.width - column));
    const float scale = a.scales[row * tiles(a.width) + column / kTile];
    for (float& value : group.v) {
        value *= scale;
    }
    return group;
}

__device__ void fill(const RequantizeTranspose& p, std::int64_t row0, std::int64_t column0,
                     float* values) {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kColumns / kGroup; i += kThreads) {
        const int row = i / (kColumns / kGroup);
        const int column = i % (kColumns / kGroup) * kGroup;
        const Group group = input_group(p, row0 + row, column0 + column);
        for (int j = 0; j < kGroup; ++j) {
            values[row * kStride + column + j] = group.v[j];
        }
    }
}

// 16 lanes take a column.
__device__ void empty(const RequantizeTranspose& p, std::int64_t row0, std::int64_t column0,
                      const float* values) {
    const RequantizeTransposeFp8Args& a = p.args;
    const int row = static_cast<int>(threadIdx.x) % kTileLanes * kGroup;
    const std::int64_t count = a.rows - row0 - row;
    for (int i = static_cast<int>(threadIdx.x) / kTileLanes; i < kColumns;
         i += static_cast<int>(kThreads) / kTileLanes) {
        const std::int64_t column = column0 + i;
        const bool is_column = column < a.width;
        Group group;
        for (int j = 0; j < kGroup; ++j) {
            group.v[j] = values[(row + j) * kStride + i];
        }
        if (is_column && a.y.data != nullptr) {
            store_group(p.y, column, row0 + row, a.rows, group);
        }
        if (a.transposed_codes != nullptr) {
            const float scale =
                quantize_tile(group, a.transposed_codes + column * a.rows + row0 + row,
                              is_column ? count : 0, a.amax_min);
            if (is_column && row == 0) {
                a.transposed_scales[column * tiles(a.rows) + row0 / kTile] = scale;
            }
        }
    }
}

__global__ void requantize_transpose_fp8_kernel(RequantizeTranspose p) {
    __shared__ float values[kRows * kStride];
    const std::int64_t across = ceil_div(p.args.width, kColumns);
    for (std::int64_t i = blockIdx.x; i < tiles(p.args.rows) * across; i += gridDim.x) {
        const std::int64_t row0 = i / across * kRows;
        const std::int64_t column0 = i % across * kColumns;
        __syncthreads();  // those before may still be read
        fill(p, row0, column0, values);
        __syncthreads();
        empty(p, row0, column0, values);
    }
}

}  // namespace

void requantize_transpose_fp8(const RequantizeTransposeFp8Args& args, const Launch& launch) {
    launch_kernel(requantize_transpose_fp8_kernel,
                  grid_for(tiles(args.rows) * ceil_div(args.width, kColumns), launch),
                  dim3{kThreads, 1, 1}, 0, launch,
                  RequantizeTranspose{args, rows_of(args.x), rows_of(args.y)});
}

}  // namespace r1::cuda
