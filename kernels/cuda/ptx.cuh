// Instructions that CUDA C++ has no name for. The tests' emulation has its own version of this
// file; fragments of matrices lie in registers as the PTX manual (9.7.14, mma.m16n8k16) draws them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace r1::cuda {

inline __device__ float float_of_bf16(std::uint16_t bits) {
    return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

// Round to nearest even.
inline __device__ std::uint16_t bf16_of(float value) {
    std::uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// 2^value, to 2 units in the last place; results below the normal numbers are zero.
inline __device__ float power_of_two(float value) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(value));
    return power;
}

// The caller broke a rule that only the device could check: the stream fails.
inline __device__ void trap() { asm volatile("trap;"); }

// FP8 begins with compute capability 8.9. Code for older GPUs has it so that kernels which can do
// without are there: nobody starts the others (runtime/cuda_device.cpp).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 890
inline __device__ std::uint8_t e4m3_of(float /*value*/) {
    trap();
    return 0;
}
inline __device__ float float_of_e4m3(std::uint8_t /*bits*/) {
    trap();
    return 0;
}
#else
// Round to nearest even, saturating.
inline __device__ std::uint8_t e4m3_of(float value) {
    std::uint16_t bits;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(bits) : "f"(0.0F), "f"(value));
    return static_cast<std::uint8_t>(bits);
}

inline __device__ float float_of_e4m3(std::uint8_t bits) {
    unsigned halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<std::uint16_t>(bits)));
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<std::uint16_t>(halves)));
    return value;
}
#endif

// c[16, 8] += a[16, 16] b[16, 8] of BF16, in float32, by the lanes of a warp together.
inline __device__ void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8x8 matrices of 16-bit values from shared memory. Lane i gives the address of row i % 8 of
// matrix i / 8, aligned to 16 bytes, and receives from each matrix two neighbours of row i / 4, or
// of column i / 4 if Transposed.
template <bool Transposed>
__device__ void load_matrices(unsigned (&registers)[4], const std::uint16_t* row) {
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if constexpr (Transposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]),
                       "=r"(registers[3])
                     : "r"(address)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]),
                       "=r"(registers[3])
                     : "r"(address)
                     : "memory");
    }
}

}  // namespace r1::cuda
