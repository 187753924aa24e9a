#include "kernels/quantize_e5m6.hpp"

#include <algorithm>
#include <cmath>

namespace r1::reference {

namespace {

constexpr int kMantissaBits = 6;
constexpr int kBias = 15;
constexpr std::uint32_t kLargest = 0x7BF;  // finite; exponent 31 is infinity and NaN, as in IEEE
constexpr std::uint32_t kNaN = 0x7FF;
constexpr std::uint32_t kSign = 0x800;

std::uint32_t encode(float value) {
    const std::uint32_t sign = std::signbit(value) ? kSign : 0;
    if (std::isnan(value)) {
        return sign | kNaN;
    }
    const double magnitude = std::abs(static_cast<double>(value));
    if (magnitude >= 65536) {  // 2^16, beyond the largest
        return sign | kLargest;
    }
    int exponent = 1 - kBias;  // of subnormals and of the smallest normals
    if (magnitude > 0) {
        exponent = std::max(exponent, std::ilogb(magnitude));
    }
    // In units of the last place. nearbyint rounds ties to even.
    const auto units =
        static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, kMantissaBits - exponent)));
    // Codes of neighbouring values are neighbours, so a carry goes where it should.
    const auto base = static_cast<std::uint32_t>(exponent + kBias - 1) << kMantissaBits;
    return sign | std::min(base + units, kLargest);
}

float decode(std::uint32_t code) {
    const std::uint32_t exponent = (code >> kMantissaBits) & 31U;
    const std::uint32_t mantissa = code & 63U;
    double magnitude = 0;
    if (exponent == 31) {
        magnitude = mantissa == 0 ? INFINITY : NAN;
    } else if (exponent == 0) {
        magnitude = std::ldexp(mantissa, 1 - kBias - kMantissaBits);
    } else {
        magnitude = std::ldexp(64 + mantissa, static_cast<int>(exponent) - kBias - kMantissaBits);
    }
    return static_cast<float>((code & kSign) != 0 ? -magnitude : magnitude);
}

}  // namespace

void quantize_e5m6(const QuantizeE5m6Args& args) {
    const std::int64_t count = args.rows * args.width;
    for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t code = encode(load(args.x, i / args.width, i % args.width));
        std::uint8_t* bytes = args.packed + i / 2 * 3;
        if (i % 2 == 0) {
            bytes[0] = static_cast<std::uint8_t>(code & 0xFFU);
            bytes[1] = static_cast<std::uint8_t>(code >> 8U);
        } else {
            bytes[1] = static_cast<std::uint8_t>(bytes[1] | ((code & 15U) << 4U));
            bytes[2] = static_cast<std::uint8_t>(code >> 4U);
        }
    }
}

void dequantize_e5m6(const DequantizeE5m6Args& args) {
    const std::int64_t count = args.rows * args.width;
    for (std::int64_t i = 0; i < count; ++i) {
        const std::uint8_t* bytes = args.packed + i / 2 * 3;
        const std::uint32_t code = i % 2 == 0 ? bytes[0] | (bytes[1] & 15U) << 8U
                                              : static_cast<std::uint32_t>(bytes[1]) >> 4U |
                                                    static_cast<std::uint32_t>(bytes[2]) << 4U;
        store(args.y, i / args.width, i % args.width, decode(code));
    }
}

}  // namespace r1::reference
