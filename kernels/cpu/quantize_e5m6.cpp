#include "kernels/quantize_e5m6.hpp"

#include <algorithm>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/e5m6.hpp"

namespace r1::cpu {

namespace {

constexpr std::int64_t kPair = 2;

std::uint32_t byte(std::uint32_t value) { return value & 0xFFU; }

}  // namespace

void quantize_e5m6(const QuantizeE5m6Args& args) {
    const std::int64_t count = args.rows * args.width;
    const std::int64_t pieces = (count + kPiece - 1) / kPiece;
    const auto value = [&](std::int64_t i) {
        return i < count ? e5m6_of(load(args.x, i / args.width, i % args.width)) : 0U;
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
            store(args.y, i / args.width, i % args.width, float_of_e5m6(code));
        }
    });
}

}  // namespace r1::cpu
