// What kernels on Hopper's instructions share: the sums of a warpgroup's products, by lane.
#pragma once

#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

inline constexpr unsigned kWarpgroup = 128;

// The lane's rows of 64 are this one and that + 8.
inline __device__ int row_of_lane() {
    return static_cast<int>(threadIdx.x % kWarpgroup / kWarp * 16 + threadIdx.x % kWarp / 4);
}

// One arrival for all that the warp has done.
inline __device__ void warp_arrive(Barrier* barrier) {
    __syncwarp();
    if (threadIdx.x % kWarp == 0) {
        barrier_arrive(barrier);
    }
}

// Of four lanes, lane q has columns 2 q and 2 q + 1 of four groups of eight, from group `first` on,
// and receives all of group first + q: a transposition of 4x4 pairs. `high`: of the lane's second
// row.
template <int Count>
__device__ __forceinline__ Group gather_group(const float (&sums)[Count], int first, int high) {
    float v[4][2];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        v[i][0] = sums[4 * (first + i) + 2 * high];
        v[i][1] = sums[4 * (first + i) + 2 * high + 1];
    }
    const auto quarter = static_cast<int>(threadIdx.x % 4);
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2) {
        const bool is_upper = (quarter & bit) != 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if ((i & bit) != 0) {
                continue;
            }
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                float& left = v[i][c];
                float& right = v[i | bit][c];
                const float other = __shfl_xor_sync(kAllLanes, is_upper ? left : right, bit);
                left = is_upper ? other : left;
                right = is_upper ? right : other;
            }
        }
    }
    return {{v[0][0], v[0][1], v[1][0], v[1][1], v[2][0], v[2][1], v[3][0], v[3][1]}};
}

// Calls body(0 or 8, column, group) for the parts of the lane's two rows that it is to store: they
// begin at multiples of 8 columns.
template <int Count, class Body>
__device__ __forceinline__ void for_each_group_of_sums(const float (&sums)[Count],
                                                       const Body& body) {
#pragma unroll
    for (int high = 0; high < 2; ++high) {
#pragma unroll
        for (int first = 0; first < Count / 4; first += 4) {
            const Group group = gather_group(sums, first, high);
            body(8 * high, (first + static_cast<int>(threadIdx.x % 4)) * kGroup, group);
        }
    }
}

}  // namespace r1::cuda
