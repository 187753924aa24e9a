// What kernels on Hopper's instructions share: the roles of a block's warpgroups, how they wait for
// each other, and the sums of their products by lane.
#pragma once

#include "kernels/cuda/hopper/instructions.cuh"
#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

inline constexpr unsigned kWarpgroup = 128;
inline constexpr unsigned kMultiplying = 2 * kWarpgroup;
inline constexpr unsigned kMultiplyingWarps = kMultiplying / kWarp;
inline constexpr unsigned kRoleThreads = kMultiplying + kWarpgroup;

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

// Calls init() by one thread of a block of kRoleThreads, then load() by one and multiply() by two
// warpgroups.
template <class Init, class Load, class Multiply>
__device__ __forceinline__ void run_roles(const Init& init, const Load& load,
                                          const Multiply& multiply) {
    // The block's 64 K, which the compiler shares out evenly.
    constexpr int kLoading = 40;
    constexpr int kOfMultiplying = 232;
    if (threadIdx.x == 0) {
        init();
        barriers_ready();
    }
    __syncthreads();
    if (threadIdx.x < kMultiplying) {
        take_registers<kOfMultiplying>();
        multiply();
    } else {
        give_registers<kLoading>();
        if (threadIdx.x == kMultiplying) {
            load();
        }
    }
}

// Blocks of one a multiprocessor.
inline dim3 grid_of_roles(std::int64_t pieces, const Launch& launch) {
    return dim3{static_cast<unsigned>(std::min<std::int64_t>(pieces, std::max(launch.sms, 1))), 1,
                1};
}

// Rows [first, Rows) of `Parts` tiles beside each other, by the warpgroups that multiply: what a
// sequence has not written yet may be NaN, which a weight of zero does not take away.
template <int Rows, int Parts>
__device__ void clear_rows(unsigned char* tiles, int first) {
    constexpr int kRow = static_cast<int>(kTileRowBytes);
    constexpr int kWords = kRow / static_cast<int>(sizeof(uint4));
    for (int i = static_cast<int>(threadIdx.x); i < (Rows - first) * Parts * kWords;
         i += static_cast<int>(kMultiplying)) {
        const int row = first + i / (Parts * kWords);
        unsigned char* part = tiles + i / kWords % Parts * Rows * kRow;
        reinterpret_cast<uint4*>(part)[row * kWords + i % kWords] = {0, 0, 0, 0};
    }
    stored_for_products();
}

// Which phase of a barrier comes next; with stages, of which of them.
struct Turn {
    int stage = 0;
    unsigned parity = 0;

    __device__ void next(int stages = 1) {
        if (++stage == stages) {
            stage = 0;
            parity ^= 1U;
        }
    }
};

// Known to be the same for all lanes of the warp: descriptors are made from it once for all.
__device__ __forceinline__ unsigned uniform_address(const unsigned char* shared) {
    return __shfl_sync(kAllLanes, shared_address(shared), 0);
}

// The parts of its two rows that a lane is to store: eight columns each, Count / 8 of them.
struct GroupPlace {
    int row;  // 0 or 8
    int column;
};
template <int Count>
__device__ __forceinline__ GroupPlace place_of_group(int i) {
    constexpr int kInRow = Count / 16;
    return {i / kInRow * 8, (i % kInRow * 4 + static_cast<int>(threadIdx.x % 4)) * kGroup};
}

// The i-th. Of four lanes, lane q has columns 2 q and 2 q + 1 of four groups of eight, and receives
// all of group q: a transposition of 4x4 pairs.
template <int Count>
__device__ __forceinline__ Group gather_group(const float (&sums)[Count], int i) {
    constexpr int kInRow = Count / 16;
    const int first = i % kInRow * 16 + i / kInRow * 2;
    float v[4][2];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        v[j][0] = sums[first + 4 * j];
        v[j][1] = sums[first + 4 * j + 1];
    }
    const auto quarter = static_cast<int>(threadIdx.x % 4);
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2) {
        const bool is_upper = (quarter & bit) != 0;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            if ((j & bit) != 0) {
                continue;
            }
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                float& left = v[j][c];
                float& right = v[j | bit][c];
                const float other = __shfl_xor_sync(kAllLanes, is_upper ? left : right, bit);
                left = is_upper ? other : left;
                right = is_upper ? right : other;
            }
        }
    }
    return {{v[0][0], v[0][1], v[1][0], v[1][1], v[2][0], v[2][1], v[3][0], v[3][1]}};
}

}  // namespace r1::cuda
