// The running softmax over scores that products of a warpgroup have left in registers.
#pragma once

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/hopper/warpgroup.cuh"

namespace r1::cuda {

// What is known of the lane's two rows.
struct RowState {
    float largest[2] = {-INFINITY, -INFINITY};  // in powers of two
    float sum[2] = {0, 0};                      // of the lane's weights
};

// Scores to weights, those of columns from visible[row] on to zero; `shrink` is what sums over
// earlier columns are to be multiplied by. The scale is positive.
template <int Count>
__device__ __forceinline__ void weigh(float scale, const int (&visible)[2], float (&s)[Count],
                                      RowState& state, float (&shrink)[2]) {
    constexpr float kLog2E = 1.4426950408889634F;
    constexpr int kColumns = Count * 2;
    const float factor = scale * kLog2E;
    const auto column0 = static_cast<int>(threadIdx.x % 4 * 2);
#pragma unroll
    for (int high = 0; high < 2; ++high) {
        if (visible[high] < kColumns) {  // few tiles are at the edge
#pragma unroll
            for (int i = 2 * high; i < Count; i += 4) {
                s[i] = i / 4 * 8 + column0 < visible[high] ? s[i] : -INFINITY;
                s[i + 1] = i / 4 * 8 + column0 + 1 < visible[high] ? s[i + 1] : -INFINITY;
            }
        }
        float own = -INFINITY;
#pragma unroll
        for (int i = 2 * high; i < Count; i += 4) {
            own = fmaxf(own, fmaxf(s[i], s[i + 1]));
        }
        const float now = fmaxf(state.largest[high], row_reduce(own, Max{}) * factor);
        // A row that has seen nothing yet keeps its zeros.
        const float base = now == -INFINITY ? 0.0F : now;
        shrink[high] = power_of_two(state.largest[high] - base);
        state.largest[high] = now;
        state.sum[high] *= shrink[high];
#pragma unroll
        for (int i = 2 * high; i < Count; i += 4) {
            s[i] = power_of_two(fmaf(s[i], factor, -base));
            s[i + 1] = power_of_two(fmaf(s[i + 1], factor, -base));
            state.sum[high] += s[i] + s[i + 1];
        }
    }
}

// Multiplies the lane's rows; most of the time by one.
template <int Count>
__device__ __forceinline__ void shrink_rows(const float (&by)[2], float (&sums)[Count]) {
    if (__ballot_sync(kAllLanes, by[0] != 1.0F || by[1] != 1.0F) != 0) {
#pragma unroll
        for (int i = 0; i < Count; ++i) {
            sums[i] *= by[i % 4 / 2];
        }
    }
}

// The natural logarithm of all that a row's weights were divided by.
inline __device__ float lse_of(float largest, float sum) {
    constexpr float kLn2 = 0.6931471805599453F;
    return largest * kLn2 + logf(sum);
}

}  // namespace r1::cuda
