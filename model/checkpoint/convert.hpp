// Stored tensors as float32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/checkpoint/safetensors.hpp"

namespace r1 {

// Side of the square blocks of an FP8 weight that share a scale (DeepSeek-V3 checkpoints:
// quantization_config.weight_block_size). Blocks at the lower and right edge may be partial.
inline constexpr std::int64_t kScaleBlock = 128;

// F16, BF16, F32, F64 and the FP8 formats; not integers and BOOL.
bool is_float(StoredType type);
// Types whose values make sense only with a scale.
bool is_fp8(StoredType type);

float float_from_f16(std::uint16_t bits);

// [ceil(rows/128), ceil(columns/128)] for a weight of [rows, columns].
std::vector<std::int64_t> scale_shape(std::span<const std::int64_t> weight_shape);

// Every value as float32: exact for the float types up to 32 bits, rounded to nearest for others.
// FP8 bytes come without any scale.
std::vector<float> to_f32(const TensorView& tensor);
void to_f32(const TensorView& tensor, std::span<float> out);  // out.size() == tensor.count()

// value = byte value * scale of its 128x128 block. `scale` is F32 of scale_shape(weight.shape).
std::vector<float> dequantize_to_f32(const TensorView& weight, const TensorView& scale);
void dequantize_to_f32(const TensorView& weight, const TensorView& scale, std::span<float> out);

}  // namespace r1
