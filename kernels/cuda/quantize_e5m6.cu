// Eight values, 12 bytes, a thread: neighbours in the flat array, which may lie in two rows.
#include "kernels/quantize_e5m6.hpp"

#include "kernels/cuda/rows.cuh"
#include "kernels/e5m6.hpp"

namespace r1::cuda {

namespace {

constexpr std::int64_t kGroupBytes = 12;

// Bytes of the first `count` values, the last half byte included.
__device__ std::int64_t packed_bytes(std::int64_t count) { return (count * 3 + 1) / 2; }

__global__ void quantize_e5m6_kernel(std::int64_t count, std::int64_t width, Rows x,
                                     std::uint8_t* packed) {
    for_each_group(1, count, [&](std::int64_t, std::int64_t first) {
        unsigned words[3] = {0, 0, 0};
        for (int i = 0; i < kGroup && first + i < count; ++i) {
            const std::int64_t at = first + i;
            const unsigned code = e5m6_of(element(x, at / width, at % width));
            const int bit = i * 12;
            words[bit / 32] |= code << (bit % 32);
            if (bit % 32 > 20) {
                words[bit / 32 + 1] |= code >> (32 - bit % 32);
            }
        }
        std::uint8_t* bytes = packed + first / kGroup * kGroupBytes;
        const std::int64_t used = packed_bytes(std::min(count - first, std::int64_t{kGroup}));
        for (int i = 0; i < used; ++i) {
            bytes[i] = static_cast<std::uint8_t>(words[i / 4] >> (i % 4 * 8));
        }
    });
}

__global__ void dequantize_e5m6_kernel(std::int64_t count, std::int64_t width,
                                       const std::uint8_t* packed, Rows y) {
    for_each_group(1, count, [&](std::int64_t, std::int64_t first) {
        for (std::int64_t at = first; at < std::min(first + kGroup, count); ++at) {
            const std::uint8_t* bytes = packed + at / 2 * 3;
            const unsigned code = at % 2 == 0 ? bytes[0] | (bytes[1] & 15U) << 8U
                                              : static_cast<unsigned>(bytes[1]) >> 4U |
                                                    static_cast<unsigned>(bytes[2]) << 4U;
            set_element(y, at / width, at % width, float_of_e5m6(code));
        }
    });
}

}  // namespace

void quantize_e5m6(const QuantizeE5m6Args& args, const Launch& launch) {
    const std::int64_t count = args.rows * args.width;
    launch_kernel(quantize_e5m6_kernel, grid_for_groups(1, count, launch), dim3{kThreads, 1, 1}, 0,
                  launch, count, args.width, rows_of(args.x), args.packed);
}

void dequantize_e5m6(const DequantizeE5m6Args& args, const Launch& launch) {
    const std::int64_t count = args.rows * args.width;
    launch_kernel(dequantize_e5m6_kernel, grid_for_groups(1, count, launch), dim3{kThreads, 1, 1},
                  0, launch, count, args.width, args.packed, rows_of(args.y));
}

}  // namespace r1::cuda
