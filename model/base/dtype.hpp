// Number formats of training and checkpoints, with exact conversions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "model/base/units.hpp"

namespace r1 {

// e5m6 is the 12-bit format that DeepSeek-V3 stores attention outputs in (arXiv 2412.19437,
// sec. 3.3.3); it exists for memory accounting only.
enum class DType : std::uint8_t { f32, bf16, f16, e4m3, e5m2, e5m6, i32, u8 };

std::string_view name(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);
double bits(DType dtype);
inline Bytes size_of(DType dtype, double count) { return Bytes(bits(dtype) / 8 * count); }

// Round to nearest, ties to even. NaN stays NaN.
std::uint16_t bf16_from_float(float value);
float float_from_bf16(std::uint16_t bits);

// OCP FP8. saturate: beyond the largest finite value (infinity included) becomes the largest
// finite one with the sign; no_saturate: E4M3 gives NaN (0x7F), E5M2 infinity (0x7C).
enum class Overflow { saturate, no_saturate };
std::uint8_t e4m3_from_float(float value, Overflow overflow = Overflow::saturate);
float float_from_e4m3(std::uint8_t bits);
std::uint8_t e5m2_from_float(float value, Overflow overflow = Overflow::saturate);
float float_from_e5m2(std::uint8_t bits);

inline constexpr float kE4m3Max = 448.0F;
inline constexpr float kE5m2Max = 57344.0F;

}  // namespace r1
