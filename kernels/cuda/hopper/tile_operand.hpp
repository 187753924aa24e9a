// Which matrices tiles can be copied of, and how a product of a warpgroup is told where they lie.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1::cuda {

inline constexpr unsigned kTileRowBytes = 128;
inline constexpr unsigned kTileAlignment = 1024;  // eight rows

// What one product takes of k: bytes along the rows, or, of BF16, so many rows down.
inline constexpr int kDepthBytes = 32;
inline constexpr int kDepthRows = 16;

// The rules of copies for address and stride.
inline bool has_tiles(const ConstMatrix& matrix) {
    constexpr std::int64_t kAlignment = 16;
    const auto element_bytes = static_cast<std::int64_t>(bits(matrix.dtype) / 8);
    return reinterpret_cast<std::uintptr_t>(matrix.data) % kAlignment == 0 &&
           matrix.stride * element_bytes % kAlignment == 0;
}

// Operands in tiles (kernels/cuda/hopper/instructions.cuh), from a byte of a tile's first row on,
// as the matrix descriptors of the PTX manual, 9.7.15.5.1.2.2: addresses and distances in units of
// 16 bytes, and a swizzle of 128 bytes.
R1_HOST_DEVICE constexpr std::uint64_t operand_of(unsigned shared_address, unsigned leading,
                                                  unsigned stride) {
    constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62U;
    return kSwizzle128 | std::uint64_t{stride / 16} << 32U | std::uint64_t{leading / 16} << 16U |
           (shared_address & 0x3FFFFU) / 16;
}

// k runs along the rows of the tile. The stride is from eight rows to the next; there is no leading
// distance, which is said by 1.
R1_HOST_DEVICE constexpr std::uint64_t tile_operand(unsigned shared_address) {
    return operand_of(shared_address, 16, kTileAlignment);
}

// k runs down the rows, and each row has 128 bytes of neighbours of the other dimension, further
// ones in further tiles, `tile_bytes` apart.
R1_HOST_DEVICE constexpr std::uint64_t transposed_operand(unsigned shared_address,
                                                          unsigned tile_bytes) {
    return operand_of(shared_address, tile_bytes, kTileAlignment);
}

// The operand that begins so many bytes behind another one.
R1_HOST_DEVICE constexpr std::uint64_t operand_behind(std::uint64_t operand, unsigned bytes) {
    return operand + bytes / 16;
}

}  // namespace r1::cuda
