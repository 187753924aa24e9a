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
// earlier columns are to be multiplied by.
template <int Count>
__device__ __forceinline__ void weigh(float scale, const int (&visible)[2], float (&s)[Count],
                                      RowState& state, float (&shrink)[2]) {
    constexpr float kLog2E = 1.4426950408889634F;
    const auto column0 = static_cast<int>(threadIdx.x % 4 * 2);
#pragma unroll
    for (int high = 0; high < 2; ++high) {
        float own = -INFINITY;
#pragma unroll
        for (int i = 2 * high; i < Count; i += 4) {
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                const bool is_seen = i / 4 * 8 + column0 + c < visible[high];
                s[i + c] = is_seen ? s[i + c] * (scale * kLog2E) : -INFINITY;
                own = fmaxf(own, s[i + c]);
            }
        }
        const float now = fmaxf(state.largest[high], row_reduce(own, Max{}));
        // A row that has seen nothing yet keeps its zeros.
        const float base = now == -INFINITY ? 0.0F : now;
        shrink[high] = exp2f(state.largest[high] - base);
        state.largest[high] = now;
        state.sum[high] *= shrink[high];
#pragma unroll
        for (int i = 2 * high; i < Count; i += 4) {
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                s[i + c] = exp2f(s[i + c] - base);
                state.sum[high] += s[i + c];
            }
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
