// Values to E4M3, shared by the kernels that quantise.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/quantize_fp8.hpp"

namespace r1::cpu {

// The largest magnitude among the values and `amax`.
R1_INLINE inline float amax_of(const float* values, std::int64_t count, float amax) {
    float largest = amax;
#pragma omp simd reduction(max : largest)
    for (std::int64_t i = 0; i < count; ++i) {
        const float magnitude = __builtin_fabsf(values[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

R1_INLINE inline void write_codes(const float* values, std::int64_t count, float scale,
                                  std::uint8_t* codes) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
        codes[i] = e4m3_of_float(values[i] / scale);
    }
}

// One 1x128 tile: writes the codes and returns the scale.
inline float quantize_tile(const float* values, std::int64_t count, std::uint8_t* codes,
                           float amax_min = kQuantizeAmaxMin) {
    float scale = 0;
    vectorized([&]() R1_INLINE {
        scale = amax_of(values, count, amax_min) / kE4m3Max;
        write_codes(values, count, scale, codes);
    });
    return scale;
}

}  // namespace r1::cpu
