#include "kernels/quantize_e5m6.hpp"

#include <algorithm>
#include <bit>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

constexpr std::int64_t kPair = 2;
constexpr std::uint32_t kLargest = 0x7BF;
constexpr std::uint32_t kSmallestNormal = 0x38800000U;  // 2^-14 as a float

// As the reference, on the bits of the float.
std::uint32_t encode(float value) {
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
    return sign | std::min(code, kLargest);
}

float decode(std::uint32_t code) {
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

std::uint32_t byte(std::uint32_t value) { return value & 0xFFU; }

}  // namespace

void quantize_e5m6(const QuantizeE5m6Args& args) {
    const std::int64_t count = args.rows * args.width;
    const std::int64_t pieces = (count + kPiece - 1) / kPiece;
    const auto value = [&](std::int64_t i) {
        return i < count ? encode(load(args.x, i / args.width, i % args.width)) : 0U;
    };
    parallel_for(pieces, kPiece, [&](std::int64_t piece) {
        const std::int64_t end = std::min((piece + 1) * kPiece, count);
        for (std::int64_t i = piece * kPiece; i < end; i += kPair) {
            const std::uint32_t a = value(i);
            const std::uint32_t b = value(i + 1);
            std::uint8_t* bytes = args.packed + i / kPair * 3;
            bytes[0] = static_cast<std::uint8_t>(byte(a));
            bytes[1] = static_cast<std::uint8_t>(a >> 8U | byte(b << 4U));
            if (i + 1 < count) {  // a last value alone takes two bytes
                bytes[2] = static_cast<std::uint8_t>(b >> 4U);
            }
        }
    });
}

void dequantize_e5m6(const DequantizeE5m6Args& args) {
    const std::int64_t count = args.rows * args.width;
    const std::int64_t pieces = (count + kPiece - 1) / kPiece;
    parallel_for(pieces, kPiece, [&](std::int64_t piece) {
        const std::int64_t end = std::min((piece + 1) * kPiece, count);
        for (std::int64_t i = piece * kPiece; i < end; ++i) {
            const std::uint8_t* bytes = args.packed + i / kPair * 3;
            const std::uint32_t middle = bytes[1];
            const std::uint32_t code =
                i % kPair == 0 ? bytes[0] | (middle & 15U) << 8U
                               : middle >> 4U | static_cast<std::uint32_t>(bytes[2]) << 4U;
            store(args.y, i / args.width, i % args.width, decode(code));
        }
    });
}

}  // namespace r1::cpu
