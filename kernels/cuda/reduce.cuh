// Sums and maxima over the threads of a warp or block, always in the same order.
#pragma once

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

struct Add {
    template <class T>
    __device__ T operator()(const T& a, const T& b) const {
        return a + b;
    }
};

struct Max {
    __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// The value of the lane whose number differs by the bits of `lanes`. T: of 32-bit words.
template <class T>
__device__ T other_lane(const T& value, int lanes) {
    unsigned words[sizeof(T) / sizeof(unsigned)];
    memcpy(words, &value, sizeof(T));
    for (unsigned& word : words) {
        word = __shfl_xor_sync(kAllLanes, word, lanes);
    }
    T other;
    memcpy(&other, words, sizeof(T));
    return other;
}

// Over groups of `lanes` neighbouring lanes, a power of two. All of them receive the result.
template <class T, class Operation>
__device__ T lanes_reduce(T value, const Operation& operation, int lanes = 32) {
    for (int other = lanes / 2; other > 0; other /= 2) {
        value = operation(value, other_lane(value, other));
    }
    return value;
}

// Over the block, whose threads are a multiple of 32. All of them call it and receive the result.
template <class T, class Operation>
__device__ T block_reduce(T value, const Operation& operation) {
    __shared__ T of_warp[kWarp];
    value = lanes_reduce(value, operation);
    __syncthreads();  // an earlier result may still be read
    if (threadIdx.x % kWarp == 0) {
        of_warp[threadIdx.x / kWarp] = value;
    }
    __syncthreads();
    value = of_warp[0];
    for (unsigned warp = 1; warp < blockDim.x / kWarp; ++warp) {
        value = operation(value, of_warp[warp]);
    }
    return value;
}

// The sum of the values of the threads before this one; `total` becomes that of all.
inline __device__ int block_prefix(int value, int& total) {
    __shared__ int of_warp[kWarp];
    const unsigned lane = threadIdx.x % kWarp;
    int sum = value;
    for (unsigned step = 1; step < kWarp; step *= 2) {
        const int before = __shfl_up_sync(kAllLanes, sum, step);
        sum += lane >= step ? before : 0;
    }
    __syncthreads();
    if (lane == kWarp - 1) {
        of_warp[threadIdx.x / kWarp] = sum;
    }
    __syncthreads();
    int before = 0;
    total = 0;
    for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) {
        before += warp < threadIdx.x / kWarp ? of_warp[warp] : 0;
        total += of_warp[warp];
    }
    return before + sum - value;
}

}  // namespace r1::cuda
