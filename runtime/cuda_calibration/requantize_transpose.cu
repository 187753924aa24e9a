// E4M3 codes with a scale for each 128 values of a row become codes of the transpose with a scale
// for each 128 values of a column, as weight gradients need them (arXiv 2412.19437, sec. 3.5.2).
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "kernels/quantize_fp8.hpp"
#include "runtime/cuda_calibration/memory_kernels.hpp"
#include "runtime/cuda_calibration/resources.hpp"

namespace r1::cuda {

namespace {

// A block turns one tile of 128 by 128. Warp w has rows 16 w to 16 w + 15; lane l has columns 4 l
// to 4 l + 3, one word of codes in each row.
constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kRowsOfWarp = kTile / kWarps;
constexpr int kColumnsOfLane = 4;
constexpr int kWordsOfRow = kTile / 4;
static_assert(kWordsOfRow == 32);

struct Four {
    float at[kColumnsOfLane];
};

__device__ Four decoded(std::uint32_t word, float scale) {
    const auto pair = [](std::uint32_t codes) {
        const __half2_raw raw = __nv_cvt_fp8x2_to_halfraw2(
            static_cast<__nv_fp8x2_storage_t>(codes & 0xffffU), __NV_E4M3);
        return __half22float2(__half2(raw));
    };
    const float2 low = pair(word);
    const float2 high = pair(word >> 16);
    return {{low.x * scale, low.y * scale, high.x * scale, high.y * scale}};
}

__device__ std::uint32_t encoded(float a, float b, float c, float d) {
    const std::uint32_t low =
        __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, __NV_E4M3);
    const std::uint32_t high =
        __nv_cvt_float2_to_fp8x2(make_float2(c, d), __NV_SATFINITE, __NV_E4M3);
    return low | high << 16;
}

// Where word `word` of column `column` lies in shared memory. The exclusive or spreads both ways of
// walking over it, down a column and across columns 4 apart, over all banks.
__device__ int place(int column, int word) {
    return column * kWordsOfRow + (word ^ (column / kColumnsOfLane));
}

__global__ void __launch_bounds__(kThreads)
    requantize_transpose_kernel(const std::uint32_t* codes, const float* scales,
                                std::uint32_t* y_codes, float* y_scales, std::int64_t rows) {
    __shared__ float amax[kWarps][kTile];
    __shared__ float inverse[kTile];
    __shared__ std::uint32_t turned[kTile * kWordsOfRow];
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const std::int64_t row = std::int64_t{blockIdx.y} * kTile + warp * kRowsOfWarp;

    std::uint32_t words[kRowsOfWarp];
    float row_scales[kRowsOfWarp];
#pragma unroll
    for (int r = 0; r < kRowsOfWarp; ++r) {
        words[r] = codes[(row + r) * (kHidden / 4) + blockIdx.x * kWordsOfRow + lane];
        row_scales[r] = scales[(row + r) * (kHidden / kTile) + blockIdx.x];
    }
    Four largest = {{kQuantizeAmaxMin, kQuantizeAmaxMin, kQuantizeAmaxMin, kQuantizeAmaxMin}};
#pragma unroll
    for (int r = 0; r < kRowsOfWarp; ++r) {
        const Four values = decoded(words[r], row_scales[r]);
#pragma unroll
        for (int c = 0; c < kColumnsOfLane; ++c) {
            largest.at[c] = fmaxf(largest.at[c], fabsf(values.at[c]));
        }
    }
#pragma unroll
    for (int c = 0; c < kColumnsOfLane; ++c) {
        amax[warp][lane * kColumnsOfLane + c] = largest.at[c];
    }
    __syncthreads();
    if (threadIdx.x < kTile) {
        float column_amax = kQuantizeAmaxMin;
#pragma unroll
        for (int w = 0; w < kWarps; ++w) {
            column_amax = fmaxf(column_amax, amax[w][threadIdx.x]);
        }
        inverse[threadIdx.x] = kE4m3Max / column_amax;
        const std::int64_t column = std::int64_t{blockIdx.x} * kTile + threadIdx.x;
        y_scales[column * (rows / kTile) + blockIdx.y] = column_amax / kE4m3Max;
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kRowsOfWarp; r += 4) {  // four rows make a word of each column
        Four values[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            values[i] = decoded(words[r + i], row_scales[r + i]);
        }
#pragma unroll
        for (int c = 0; c < kColumnsOfLane; ++c) {
            const int column = lane * kColumnsOfLane + c;
            const float factor = inverse[column];
            turned[place(column, (warp * kRowsOfWarp + r) / 4)] =
                encoded(values[0].at[c] * factor, values[1].at[c] * factor,
                        values[2].at[c] * factor, values[3].at[c] * factor);
        }
    }
    __syncthreads();
    for (int c = warp; c < kTile; c += kWarps) {
        const std::int64_t column = std::int64_t{blockIdx.x} * kTile + c;
        y_codes[column * (rows / 4) + blockIdx.y * kWordsOfRow + lane] = turned[place(c, lane)];
    }
}

}  // namespace

void time_requantize_transpose_fp8(const MemoryOperands& x, cudaStream_t stream) {
    const dim3 blocks(static_cast<unsigned>(kHidden / kTile),
                      static_cast<unsigned>(x.rows / kTile));
    requantize_transpose_kernel<<<blocks, kThreads, 0, stream>>>(
        static_cast<const std::uint32_t*>(x.a), x.a_scales, static_cast<std::uint32_t*>(x.y),
        x.y_scales, x.rows);
    check(cudaGetLastError(), "requantize_transpose_kernel");
}

}  // namespace r1::cuda
