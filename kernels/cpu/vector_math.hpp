// Functions without branches and calls, for `omp simd` loops.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/cpu/isa.hpp"

namespace r1::cpu {

// e^x to 2 units in the last place; 0 below -87.3 (results would be subnormal), infinity above
// 88.7. NaN gives NaN. Cody-Waite reduction and the polynomial of Cephes' expf.
R1_INLINE inline float exp_f32(float x) {
    constexpr float kLog2e = 1.44269504088896341F;
    constexpr float kLn2High = 0.693359375F;
    constexpr float kLn2Low = -2.12194440e-4F;
    constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
    // 88.7: beyond it the largest power is no longer a float.
    const float low = x < -87.3F ? -87.3F : x;
    const float clamped = low > 88.7F ? 88.7F : low;
    const float shifted = clamped * kLog2e + kRound;
    const float n = shifted - kRound;
    const float r = (clamped - n * kLn2High) - n * kLn2Low;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    const float fraction = p * (r * r) + r + 1.0F;
    // Multiplies by 2^n in the exponent bits. n may be 128 while fraction < 1, so in two steps.
    const auto integer = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kRound);
    const std::int32_t half = integer >> 1;
    const float scale_a = std::bit_cast<float>((half + 127) << 23);
    const float scale_b = std::bit_cast<float>((integer - half + 127) << 23);
    const float value = fraction * scale_a * scale_b;
    const float bounded = x < -87.3F ? 0.0F : value;
    return x > 88.7F ? __builtin_inff() : bounded;
}

R1_INLINE inline float float_of_bf16(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

R1_INLINE inline std::uint16_t bf16_of_float(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
    const std::uint32_t quiet = (bits >> 16U) | 0x40U;  // a NaN keeps its sign and stays one
    const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    return static_cast<std::uint16_t>(is_nan ? quiet : rounded);
}

R1_INLINE inline float float_of_e4m3(std::uint8_t code) {
    const std::uint32_t magnitude = code & 0x7FU;
    const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80U) << 24U;
    // A normal value's fields, moved to the places of a float's and biased anew.
    const std::uint32_t normal = (magnitude << 20U) + (120U << 23U);
    // A subnormal one is the mantissa of a float between 2^-6 and 2^-5, less 2^-6.
    const float subnormal = std::bit_cast<float>((121U << 23U) | (magnitude << 20U)) - 0x1p-6F;
    std::uint32_t bits = magnitude < 8 ? std::bit_cast<std::uint32_t>(subnormal) : normal;
    bits = magnitude == 0x7FU ? 0x7FC00000U : bits;
    return std::bit_cast<float>(bits | sign);
}

// Round to nearest even, saturating.
R1_INLINE inline std::uint8_t e4m3_of_float(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    const std::uint32_t capped = magnitude > 0x43E00000U ? 0x43E00000U : magnitude;  // 448
    const std::uint32_t normal =
        ((capped + 0x7FFFFU + ((capped >> 20U) & 1U)) >> 20U) - (120U << 3U);
    // 2^14 has a last place of 2^-9, the smallest E4M3 value: adding it rounds to multiples.
    const std::uint32_t subnormal =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(capped) + 0x1p14F) & 0xFU;
    std::uint32_t code = capped < 0x3C800000U ? subnormal : normal;  // below 2^-6
    code = magnitude > 0x7F800000U ? 0x7FU : code;
    return static_cast<std::uint8_t>(code | ((bits >> 24U) & 0x80U));
}

}  // namespace r1::cpu
