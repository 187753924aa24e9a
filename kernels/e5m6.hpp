// E5M6 codes on the bits of a float, as the reference makes them with arithmetic.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace r1 {

inline constexpr std::uint32_t kE5m6Largest = 0x7BF;

constexpr std::uint32_t e5m6_of(float value) {
    constexpr std::uint32_t kSmallestNormal = 0x38800000U;  // 2^-14 as a float
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = bits >> 20U & 0x800U;
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    if (magnitude > 0x7F800000U) {
        return sign | 0x7FFU;
    }
    if (magnitude < kSmallestNormal) {
        // 2^3 has a last place of 2^-20, the smallest value: adding it rounds to multiples.
        return sign |
               (std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 8.0F) & 0x7FU);
    }
    // Beyond the largest even before rounding; keeps the sum below from running over.
    const std::uint32_t capped = std::min(magnitude, 0x47800000U);
    const std::uint32_t code = ((capped + 0xFFFFU + (capped >> 17U & 1U)) >> 17U) - (112U << 6U);
    return sign | std::min(code, kE5m6Largest);
}

constexpr float float_of_e5m6(std::uint32_t code) {
    const std::uint32_t sign = (code & 0x800U) << 20U;
    const std::uint32_t magnitude = code & 0x7FFU;
    if (magnitude >= 0x7C0U) {  // infinity, NaN
        return std::bit_cast<float>(sign | 0x7F800000U | (magnitude & 0x3FU) << 17U);
    }
    if (magnitude < 0x40U) {
        const float value = static_cast<float>(magnitude) * 0x1p-20F;
        return sign != 0 ? -value : value;
    }
    return std::bit_cast<float>(sign | ((magnitude << 17U) + (112U << 23U)));
}

}  // namespace r1
