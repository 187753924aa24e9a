// CUDA's extensions of C++ in the tests' emulation.
#pragma once

#include <cuda_runtime_api.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "tests/emulation/emulation.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static  // blocks run one after the other

using dim3 = r1::emulation::Index3;
inline dim3& threadIdx = r1::emulation::thread_index;
inline dim3& blockIdx = r1::emulation::block_index;
inline dim3& blockDim = r1::emulation::block_size;
inline dim3& gridDim = r1::emulation::grid_size;

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

inline void __syncthreads() { r1::emulation::block_barrier(); }
inline void __syncwarp() { r1::emulation::warp_barrier(); }

// Each lane passes a value on and takes that of another.
template <class T>
T __shfl_sync(unsigned /*mask*/, T value, int source) {
    static_assert(std::is_arithmetic_v<T>);
    std::byte* slots = r1::emulation::exchange_slots();
    std::memcpy(slots + r1::emulation::lane() * r1::emulation::kSlotBytes, &value, sizeof value);
    r1::emulation::warp_barrier();
    std::memcpy(&value, slots + static_cast<std::size_t>(source % 32) * r1::emulation::kSlotBytes,
                sizeof value);
    return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    return __shfl_sync(mask, value, static_cast<int>(r1::emulation::lane()) ^ lanes);
}
// Lanes without a source keep their own value.
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes) {
    const unsigned own = r1::emulation::lane();
    return __shfl_sync(mask, value, static_cast<int>(own >= lanes ? own - lanes : own));
}

inline int atomicAdd(int* address, int value) { return std::exchange(*address, *address + value); }

inline unsigned __ballot_sync(unsigned mask, bool value) {
    unsigned ballot = 0;
    const unsigned own = value ? 1U << r1::emulation::lane() : 0U;
    ballot = own;
    for (int lanes = 1; lanes < 32; lanes *= 2) {
        ballot |= __shfl_xor_sync(mask, ballot, lanes);
    }
    return ballot;
}
inline int __ffs(int value) { return __builtin_ffs(value); }

inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
