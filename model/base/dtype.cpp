#include "model/base/dtype.hpp"

#include <array>
#include <bit>

#include "model/base/check.hpp"

namespace r1 {

namespace {

struct DTypeInfo {
    DType dtype;
    std::string_view name;
    double bits;
};

constexpr std::array<DTypeInfo, 8> kDTypes{{
    {DType::f32, "f32", 32},
    {DType::bf16, "bf16", 16},
    {DType::f16, "f16", 16},
    {DType::e4m3, "e4m3", 8},
    {DType::e5m2, "e5m2", 8},
    {DType::e5m6, "e5m6", 12},
    {DType::i32, "i32", 32},
    {DType::u8, "u8", 8},
}};

const DTypeInfo& info(DType dtype) {
    for (const DTypeInfo& candidate : kDTypes) {
        if (candidate.dtype == dtype) {
            return candidate;
        }
    }
    check_failed(__FILE__, __LINE__, "unknown dtype");
}

constexpr std::uint32_t kF32Magnitude = 0x7FFFFFFFU;
constexpr std::uint32_t kF32Infinity = 0x7F800000U;
constexpr int kF32MantissaBits = 23;
constexpr int kF32Bias = 127;

struct Fp8Format {
    int mantissa_bits;
    int bias;
    std::uint32_t largest;   // code of the largest finite value
    std::uint32_t overflow;  // code beyond it, unless saturating
};
constexpr Fp8Format kE4m3{3, 7, 0x7E, 0x7F};  // no infinity: 0x7F is NaN
constexpr Fp8Format kE5m2{2, 15, 0x7B, 0x7C};
constexpr std::uint32_t kFp8NaN = 0x7F;

// The code of |value|, rounded once, in integers. It may lie beyond `largest`. Codes of
// neighbouring values are neighbours, so a carry out of the mantissa goes where it should.
std::uint32_t round_to_code(std::uint32_t magnitude, const Fp8Format& format) {
    const int exponent = static_cast<int>(magnitude >> kF32MantissaBits);
    if (exponent == 0) {
        return 0;  // a float32 subnormal is far below half of the smallest FP8 value
    }
    constexpr std::uint32_t kHiddenBit = 1U << kF32MantissaBits;
    const std::uint32_t significand = (magnitude & (kHiddenBit - 1)) | kHiddenBit;
    const int code_exponent = exponent - kF32Bias + format.bias;
    int shift = kF32MantissaBits - format.mantissa_bits;
    std::uint32_t base = 0;
    if (code_exponent >= 1) {
        base = static_cast<std::uint32_t>(code_exponent - 1) << format.mantissa_bits;
    } else {
        shift += 1 - code_exponent;  // subnormal: fewer bits are left
    }
    if (shift > kF32MantissaBits + 1) {
        return 0;
    }
    const std::uint32_t kept = significand >> shift;
    const std::uint32_t rest = significand & ((1U << shift) - 1);
    const std::uint32_t half = 1U << (shift - 1);
    const bool is_up = rest > half || (rest == half && (kept & 1U) != 0);
    return base + kept + (is_up ? 1U : 0U);
}

std::uint8_t encode(float value, const Fp8Format& format, Overflow overflow) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = bits >> 31 << 7;
    const std::uint32_t magnitude = bits & kF32Magnitude;
    std::uint32_t code = kFp8NaN;
    if (magnitude <= kF32Infinity) {
        code = round_to_code(magnitude, format);  // infinity comes out beyond `largest`
        if (code > format.largest) {
            code = overflow == Overflow::saturate ? format.largest : format.overflow;
        }
    }
    return static_cast<std::uint8_t>(sign | code);
}

float decode_finite(std::uint8_t code, const Fp8Format& format) {
    const std::uint32_t sign = std::uint32_t{code} >> 7 << 31;
    const std::uint32_t magnitude = code & 0x7FU;
    const std::uint32_t exponent = magnitude >> format.mantissa_bits;
    const std::uint32_t mantissa = magnitude & ((1U << format.mantissa_bits) - 1);
    const auto rebias = static_cast<std::uint32_t>(kF32Bias - format.bias);
    if (exponent > 0) {
        const auto shift = static_cast<std::uint32_t>(kF32MantissaBits - format.mantissa_bits);
        return std::bit_cast<float>(sign | ((exponent + rebias) << kF32MantissaBits) |
                                    (mantissa << shift));
    }
    // mantissa * 2^(1 - bias - mantissa_bits), both factors exact.
    const auto unit = static_cast<std::uint32_t>(kF32Bias + 1 - format.bias - format.mantissa_bits);
    const float step = std::bit_cast<float>(sign | (unit << kF32MantissaBits));
    return static_cast<float>(mantissa) * step;
}

float with_sign(std::uint8_t code, std::uint32_t magnitude) {
    return std::bit_cast<float>((std::uint32_t{code} >> 7 << 31) | magnitude);
}

constexpr std::uint32_t kF32NaN = 0x7FC00000U;

}  // namespace

std::string_view name(DType dtype) { return info(dtype).name; }

std::optional<DType> parse_dtype(std::string_view name) {
    for (const DTypeInfo& candidate : kDTypes) {
        if (candidate.name == name) {
            return candidate.dtype;
        }
    }
    return std::nullopt;
}

double bits(DType dtype) { return info(dtype).bits; }

std::uint16_t bf16_from_float(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & kF32Magnitude) > kF32Infinity) {
        return static_cast<std::uint16_t>((bits >> 16) | 0x40U);  // quiet, or it could become inf
    }
    const std::uint32_t odd = (bits >> 16) & 1U;
    return static_cast<std::uint16_t>((bits + 0x7FFFU + odd) >> 16);
}

float float_from_bf16(std::uint16_t bits) {
    return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

std::uint8_t e4m3_from_float(float value, Overflow overflow) {
    return encode(value, kE4m3, overflow);
}

float float_from_e4m3(std::uint8_t bits) {
    return (bits & 0x7FU) == kFp8NaN ? with_sign(bits, kF32NaN) : decode_finite(bits, kE4m3);
}

std::uint8_t e5m2_from_float(float value, Overflow overflow) {
    return encode(value, kE5m2, overflow);
}

float float_from_e5m2(std::uint8_t bits) {
    const std::uint32_t magnitude = bits & 0x7FU;
    if (magnitude < kE5m2.overflow) {
        return decode_finite(bits, kE5m2);
    }
    return with_sign(bits, magnitude == kE5m2.overflow ? kF32Infinity : kF32NaN);
}

}  // namespace r1
