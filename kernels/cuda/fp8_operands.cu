#include "kernels/cuda/fp8_operands.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

constexpr int kSide = 32;

// Squares through shared memory, so that both sides are read and written along their rows.
__global__ void transpose_scales_kernel(const float* source, std::int64_t rows,
                                        std::int64_t columns, float* target, std::int64_t stride) {
    // Through shared memory, so that both sides are read and written along their rows.
    __shared__ float square[kSide][kSide + 1];
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

constexpr int kWordCodes = 4;
constexpr int kSideWords = 16;
constexpr int kCodesSide = kSideWords * kWordCodes;

// Four codes from `column` on, those outside of the row as zero. Words: rows begin at multiples of
// four codes.
template <bool Words>
__device__ __forceinline__ unsigned load_word(const std::uint8_t* row, std::int64_t column,
                                              std::int64_t columns) {
    if constexpr (Words) {
        return column < columns ? *reinterpret_cast<const unsigned*>(row + column) : 0;
    } else {
        unsigned word = 0;
#pragma unroll
        for (int i = 0; i < kWordCodes; ++i) {
            word |= (column + i < columns ? static_cast<unsigned>(row[column + i]) : 0U) << (8 * i);
        }
        return word;
    }
}

template <bool Words>
__device__ __forceinline__ void store_word(std::uint8_t* row, std::int64_t column,
                                           std::int64_t columns, unsigned word) {
    if constexpr (Words) {
        if (column < columns) {
            *reinterpret_cast<unsigned*>(row + column) = word;
        }
    } else {
#pragma unroll
        for (int i = 0; i < kWordCodes; ++i) {
            if (column + i < columns) {
                row[column + i] = static_cast<std::uint8_t>(word >> (8 * i));
            }
        }
    }
}

template <bool Words>
__global__ void transpose_codes_kernel(const std::uint8_t* source, std::int64_t matrices,
                                       std::int64_t rows, std::int64_t columns,
                                       std::uint8_t* target) {
    // A word more in each row: the codes of a column lie in different banks.
    __shared__ unsigned square[kCodesSide][kSideWords + 1];
    const auto* codes = reinterpret_cast<const std::uint8_t*>(square);
    constexpr int kRowCodes = (kSideWords + 1) * kWordCodes;
    const std::int64_t across = ceil_div(columns, kCodesSide);
    const std::int64_t of_matrix = ceil_div(rows, kCodesSide) * across;
    for (std::int64_t i = blockIdx.x; i < matrices * of_matrix; i += gridDim.x) {
        const std::int64_t first = i / of_matrix * rows * columns;
        const std::int64_t row0 = i % of_matrix / across * kCodesSide;
        const std::int64_t column0 = i % of_matrix % across * kCodesSide;
        __syncthreads();  // the square before may still be read
        for (int at = static_cast<int>(threadIdx.x); at < kCodesSide * kSideWords; at += kThreads) {
            const int row = at / kSideWords;
            const int word = at % kSideWords;
            if (row0 + row < rows) {
                square[row][word] = load_word<Words>(source + first + (row0 + row) * columns,
                                                     column0 + word * kWordCodes, columns);
            }
        }
        __syncthreads();
        for (int at = static_cast<int>(threadIdx.x); at < kCodesSide * kSideWords; at += kThreads) {
            const int column = at / kSideWords;
            const int row = at % kSideWords * kWordCodes;
            unsigned word = 0;
#pragma unroll
            for (int j = 0; j < kWordCodes; ++j) {
                word |= static_cast<unsigned>(codes[(row + j) * kRowCodes + column]) << (8 * j);
            }
            if (column0 + column < columns) {
                store_word<Words>(target + first + (column0 + column) * rows, row0 + row, rows,
                                  word);
            }
        }
    }
}

}  // namespace

void transpose_scales(const float* source, std::int64_t rows, std::int64_t columns, float* target,
                      std::int64_t stride, const Launch& launch) {
    launch_kernel(transpose_scales_kernel,
                  grid_for(ceil_div(rows, kSide) * ceil_div(columns, kSide), launch),
                  dim3{kThreads, 1, 1}, 0, launch, source, rows, columns, target, stride);
}

void transpose_codes(const std::uint8_t* source, std::int64_t matrices, std::int64_t rows,
                     std::int64_t columns, std::uint8_t* target, const Launch& launch) {
    const auto places = reinterpret_cast<std::uintptr_t>(source) |
                        reinterpret_cast<std::uintptr_t>(target) |
                        static_cast<std::uintptr_t>(rows | columns);
    launch_kernel(
        places % kWordCodes == 0 ? transpose_codes_kernel<true> : transpose_codes_kernel<false>,
        grid_for(matrices * ceil_div(rows, kCodesSide) * ceil_div(columns, kCodesSide), launch),
        dim3{kThreads, 1, 1}, 0, launch, source, matrices, rows, columns, target);
}

}  // namespace r1::cuda
