#include "model/checkpoint/convert.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "model/base/check.hpp"
#include "model/base/dtype.hpp"

namespace r1 {

namespace {

using Fp8Table = std::array<float, 256>;

template <class Decode>
Fp8Table make_table(Decode decode) {
    Fp8Table table{};
    for (std::size_t code = 0; code < table.size(); ++code) {
        table[code] = decode(static_cast<std::uint8_t>(code));
    }
    return table;
}

// 2^(code - 127); 255 is NaN (OCP MX formats 1.0, sec. 5.4.1).
float float_from_e8m0(std::uint8_t code) {
    return code == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0F, code - 127);
}

const Fp8Table& fp8_table(StoredType type) {
    static const Fp8Table e4m3 = make_table(float_from_e4m3);
    static const Fp8Table e5m2 = make_table(float_from_e5m2);
    static const Fp8Table e8m0 = make_table(float_from_e8m0);
    R1_CHECK(is_fp8(type));
    return type == StoredType::f8_e4m3 ? e4m3 : (type == StoredType::f8_e5m2 ? e5m2 : e8m0);
}

// Reads unaligned values of T and converts each.
template <class T, class Convert>
void convert_all(std::span<const std::byte> data, std::span<float> out, Convert convert) {
    R1_CHECK(data.size() == out.size() * sizeof(T));
    for (std::size_t i = 0; i < out.size(); ++i) {
        T value;
        std::memcpy(&value, data.data() + i * sizeof(T), sizeof(T));
        out[i] = convert(value);
    }
}

template <class T>
void cast_all(std::span<const std::byte> data, std::span<float> out) {
    convert_all<T>(data, out, [](T value) { return static_cast<float>(value); });
}

}  // namespace

bool is_fp8(StoredType type) {
    return type == StoredType::f8_e4m3 || type == StoredType::f8_e5m2 ||
           type == StoredType::f8_e8m0;
}

bool is_float(StoredType type) {
    return is_fp8(type) || type == StoredType::f16 || type == StoredType::bf16 ||
           type == StoredType::f32 || type == StoredType::f64;
}

float float_from_f16(std::uint16_t bits) {
    constexpr std::uint32_t kRebias = (127U - 15U) << 23;
    const std::uint32_t sign = std::uint32_t{bits} >> 15 << 31;
    const std::uint32_t magnitude = bits & 0x7FFFU;
    if (magnitude >= 0x7C00U) {  // infinity, or NaN with its payload
        return std::bit_cast<float>(sign | 0x7F800000U | ((magnitude & 0x3FFU) << 13));
    }
    if (magnitude >= 0x400U) {
        return std::bit_cast<float>(sign | ((magnitude << 13) + kRebias));
    }
    const float value = static_cast<float>(magnitude) * 0x1p-24F;  // subnormal, exact
    return sign != 0 ? -value : value;
}

void to_f32(const TensorView& tensor, std::span<float> out) {
    R1_CHECK(static_cast<std::size_t>(tensor.count()) == out.size());
    const std::span<const std::byte> data = tensor.data;
    switch (tensor.dtype) {
        case StoredType::boolean:
            return convert_all<std::uint8_t>(data, out,
                                             [](std::uint8_t v) { return v != 0 ? 1.0F : 0.0F; });
        case StoredType::u8: return cast_all<std::uint8_t>(data, out);
        case StoredType::i8: return cast_all<std::int8_t>(data, out);
        case StoredType::f8_e5m2:
        case StoredType::f8_e4m3:
        case StoredType::f8_e8m0: {
            const Fp8Table& table = fp8_table(tensor.dtype);
            return convert_all<std::uint8_t>(data, out,
                                             [&table](std::uint8_t v) { return table[v]; });
        }
        case StoredType::i16: return cast_all<std::int16_t>(data, out);
        case StoredType::u16: return cast_all<std::uint16_t>(data, out);
        case StoredType::f16: return convert_all<std::uint16_t>(data, out, float_from_f16);
        case StoredType::bf16: return convert_all<std::uint16_t>(data, out, float_from_bf16);
        case StoredType::i32: return cast_all<std::int32_t>(data, out);
        case StoredType::u32: return cast_all<std::uint32_t>(data, out);
        case StoredType::f32:
            if (!data.empty()) {
                std::memcpy(out.data(), data.data(), data.size());
            }
            return;
        case StoredType::f64: return cast_all<double>(data, out);
        case StoredType::i64: return cast_all<std::int64_t>(data, out);
        case StoredType::u64: return cast_all<std::uint64_t>(data, out);
    }
    check_failed(__FILE__, __LINE__, "unknown stored type");
}

std::vector<float> to_f32(const TensorView& tensor) {
    std::vector<float> out(static_cast<std::size_t>(tensor.count()));
    to_f32(tensor, out);
    return out;
}

std::vector<std::int64_t> scale_shape(std::span<const std::int64_t> weight_shape) {
    std::vector<std::int64_t> shape;
    for (const std::int64_t size : weight_shape) {
        shape.push_back(size / kScaleBlock + (size % kScaleBlock != 0 ? 1 : 0));
    }
    return shape;
}

void dequantize_to_f32(const TensorView& weight, const TensorView& scale, std::span<float> out) {
    R1_CHECK(weight.shape.size() == 2 && scale.dtype == StoredType::f32);
    R1_CHECK(scale.shape == scale_shape(weight.shape));
    R1_CHECK(out.size() == static_cast<std::size_t>(weight.count()));
    const Fp8Table& table = fp8_table(weight.dtype);
    const std::vector<float> scales = to_f32(scale);  // [row blocks, column blocks]
    const auto rows = static_cast<std::size_t>(weight.shape[0]);
    const auto columns = static_cast<std::size_t>(weight.shape[1]);
    const auto column_blocks = static_cast<std::size_t>(scale.shape[1]);
    constexpr auto kBlock = static_cast<std::size_t>(kScaleBlock);
    for (std::size_t row = 0; row < rows; ++row) {
        const std::byte* codes = weight.data.data() + row * columns;
        float* values = out.data() + row * columns;
        for (std::size_t block = 0; block < column_blocks; ++block) {
            const float factor = scales[row / kBlock * column_blocks + block];
            const std::size_t end = std::min(columns, (block + 1) * kBlock);
            for (std::size_t i = block * kBlock; i < end; ++i) {
                values[i] = table[std::to_integer<std::uint8_t>(codes[i])] * factor;
            }
        }
    }
}

std::vector<float> dequantize_to_f32(const TensorView& weight, const TensorView& scale) {
    std::vector<float> out(static_cast<std::size_t>(weight.count()));
    dequantize_to_f32(weight, scale, out);
    return out;
}

}  // namespace r1
