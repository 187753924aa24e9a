#include "kernels/cuda/fp8_operands.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

constexpr int kSide = 32;

// Squares through shared memory, so that both sides are read and written along their rows.
template <class T>
__global__ void transpose_kernel(const T* source, std::int64_t rows, std::int64_t columns,
                                 T* target, std::int64_t stride) {
    __shared__ T square[kSide][kSide + 1];
    const int x = static_cast<int>(threadIdx.x) % kSide;
    const int y = static_cast<int>(threadIdx.x) / kSide;
    constexpr int kStep = static_cast<int>(kThreads) / kSide;
    const std::int64_t across = ceil_div(columns, kSide);
    for (std::int64_t i = blockIdx.x; i < ceil_div(rows, kSide) * across; i += gridDim.x) {
        const std::int64_t row0 = i / across * kSide;
        const std::int64_t column0 = i % across * kSide;
        __syncthreads();  // the square before may still be read
        for (int j = y; j < kSide; j += kStep) {
            if (row0 + j < rows && column0 + x < columns) {
                square[j][x] = source[(row0 + j) * columns + column0 + x];
            }
        }
        __syncthreads();
        for (int j = y; j < kSide; j += kStep) {
            if (column0 + j < columns && row0 + x < rows) {
                target[(column0 + j) * stride + row0 + x] = square[x][j];
            }
        }
    }
}

template <class T>
void transpose(const T* source, std::int64_t rows, std::int64_t columns, T* target,
               std::int64_t stride, const Launch& launch) {
    launch_kernel(transpose_kernel<T>,
                  grid_for(ceil_div(rows, kSide) * ceil_div(columns, kSide), launch),
                  dim3{kThreads, 1, 1}, 0, launch, source, rows, columns, target, stride);
}

}  // namespace

void transpose_scales(const float* source, std::int64_t rows, std::int64_t columns, float* target,
                      std::int64_t stride, const Launch& launch) {
    transpose(source, rows, columns, target, stride, launch);
}

void transpose_codes(const std::uint8_t* source, std::int64_t rows, std::int64_t columns,
                     std::uint8_t* target, const Launch& launch) {
    transpose(source, rows, columns, target, rows, launch);
}

}  // namespace r1::cuda
