// One 1x128 tile to E4M3, shared by quantize_fp8 and swiglu.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/quantize_fp8.hpp"

namespace r1::cpu {

// Writes the codes and returns the scale.
inline float quantize_tile(const float* values, std::int64_t count, std::uint8_t* codes) {
    float amax = kQuantizeAmaxMin;
    float scale = 0;
    vectorized([&]() R1_INLINE {
        float largest = kQuantizeAmaxMin;
#pragma omp simd reduction(max : largest)
        for (std::int64_t i = 0; i < count; ++i) {
            const float magnitude = __builtin_fabsf(values[i]);
            largest = magnitude > largest ? magnitude : largest;
        }
        amax = largest;
        const float divisor = amax / kE4m3Max;
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) {
            codes[i] = e4m3_of_float(values[i] / divisor);
        }
        scale = divisor;
    });
    return scale;
}

}  // namespace r1::cpu
