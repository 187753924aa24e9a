// How kernels read and write matrices: eight neighbours of a row at a time, in one or two 16-byte
// accesses where the matrix allows, with the type of the storage looked up once for the eight.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/matrix.hpp"

namespace r1::cuda {

inline constexpr int kGroup = 8;

struct Group {
    float v[kGroup];
};

// A matrix as kernels take it. Data is const for those that only read it.
struct Rows {
    void* data = nullptr;
    std::int64_t stride = 0;
    bool is_bf16 = false;
    bool aligned = false;  // each group that begins at a multiple of 8 columns is, to 16 bytes
};

inline Rows rows_of(const ConstMatrix& matrix) {
    R1_CHECK(matrix.data == nullptr || matrix.dtype == DType::f32 || matrix.dtype == DType::bf16);
    const auto address = reinterpret_cast<std::uintptr_t>(matrix.data);
    return {const_cast<void*>(matrix.data), matrix.stride, matrix.dtype == DType::bf16,
            address % 16 == 0 && matrix.stride % kGroup == 0};
}

inline __device__ float element(const Rows& rows, std::int64_t row, std::int64_t column) {
    const std::int64_t at = row * rows.stride + column;
    return rows.is_bf16 ? float_of_bf16(static_cast<const std::uint16_t*>(rows.data)[at])
                        : static_cast<const float*>(rows.data)[at];
}

inline __device__ void set_element(const Rows& rows, std::int64_t row, std::int64_t column,
                                   float value) {
    const std::int64_t at = row * rows.stride + column;
    if (rows.is_bf16) {
        static_cast<std::uint16_t*>(rows.data)[at] = bf16_of(value);
    } else {
        static_cast<float*>(rows.data)[at] = value;
    }
}

inline __device__ unsigned bf16_pair(float low, float high) {
    return static_cast<unsigned>(bf16_of(low)) | static_cast<unsigned>(bf16_of(high)) << 16;
}

// Columns [column, column + 8) of a row, those from `width` on as zero.
inline __device__ Group load_group(const Rows& rows, std::int64_t row, std::int64_t column,
                                   std::int64_t width) {
    Group group;
    if (!rows.aligned || column % kGroup != 0 || column + kGroup > width) {
#pragma unroll
        for (int i = 0; i < kGroup; ++i) {
            group.v[i] = column + i < width ? element(rows, row, column + i) : 0.0F;
        }
        return group;
    }
    const std::int64_t at = row * rows.stride + column;
    if (rows.is_bf16) {
        const uint4 packed =
            *reinterpret_cast<const uint4*>(static_cast<const std::uint16_t*>(rows.data) + at);
        const unsigned words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
        for (int i = 0; i < kGroup; ++i) {
            group.v[i] = float_of_bf16(static_cast<std::uint16_t>(words[i / 2] >> (i % 2 * 16)));
        }
    } else {
        const auto* quads =
            reinterpret_cast<const float4*>(static_cast<const float*>(rows.data) + at);
        const float4 low = quads[0];
        const float4 high = quads[1];
        group = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
    }
    return group;
}

// Leaves columns from `width` on alone.
inline __device__ void store_group(const Rows& rows, std::int64_t row, std::int64_t column,
                                   std::int64_t width, const Group& group) {
    if (!rows.aligned || column % kGroup != 0 || column + kGroup > width) {
#pragma unroll
        for (int i = 0; i < kGroup && column + i < width; ++i) {
            set_element(rows, row, column + i, group.v[i]);
        }
        return;
    }
    const std::int64_t at = row * rows.stride + column;
    const float* v = group.v;
    if (rows.is_bf16) {
        *reinterpret_cast<uint4*>(static_cast<std::uint16_t*>(rows.data) + at) = {
            bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]), bf16_pair(v[4], v[5]),
            bf16_pair(v[6], v[7])};
    } else {
        auto* quads = reinterpret_cast<float4*>(static_cast<float*>(rows.data) + at);
        quads[0] = {v[0], v[1], v[2], v[3]};
        quads[1] = {v[4], v[5], v[6], v[7]};
    }
}

inline __host__ __device__ std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

inline constexpr unsigned kThreads = 256;

// Enough blocks to fill `sms` multiprocessors, no more than there is work for; loops take the rest.
inline dim3 grid_for(std::int64_t blocks, const Launch& launch) {
    constexpr std::int64_t kBlocksPerSm = 4;
    return dim3{static_cast<unsigned>(
                    std::min(blocks, kBlocksPerSm * std::max<std::int64_t>(launch.sms, 1))),
                1, 1};
}

// Calls body(i) for each i below `count`, all blocks together.
template <class Body>
__device__ void for_each_index(std::int64_t count, const Body& body) {
    const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
    for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
         i += step) {
        body(i);
    }
}

inline dim3 grid_for_indices(std::int64_t count, const Launch& launch) {
    return grid_for(ceil_div(count, kThreads), launch);
}

// Calls body(row, column) for each group of `rows` rows, all blocks together.
template <class Body>
__device__ void for_each_group(std::int64_t rows, std::int64_t width, const Body& body) {
    const std::int64_t groups = ceil_div(width, kGroup);
    for_each_index(rows * groups, [&](std::int64_t i) { body(i / groups, i % groups * kGroup); });
}

inline dim3 grid_for_groups(std::int64_t rows, std::int64_t width, const Launch& launch) {
    return grid_for_indices(rows * ceil_div(width, kGroup), launch);
}

}  // namespace r1::cuda
