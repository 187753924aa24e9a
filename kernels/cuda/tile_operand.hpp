// How a product of a warpgroup is told where its operands lie.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"

namespace r1::cuda {

inline constexpr unsigned kTileRowBytes = 128;
inline constexpr unsigned kTileAlignment = 1024;  // eight rows

// An operand whose rows are those of a tile (kernels/cuda/hopper.cuh), from a byte of its first row
// on: the matrix descriptor of the PTX manual, 9.7.15.5.1.2.2. Addresses and distances are in units
// of 16 bytes; the distance that operands along k do not have is 1.
R1_HOST_DEVICE constexpr std::uint64_t tile_operand(unsigned shared_address) {
    constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62U;
    constexpr std::uint64_t kNoLeading = std::uint64_t{1} << 16U;
    constexpr std::uint64_t kEightRows = std::uint64_t{kTileAlignment / 16} << 32U;
    return kSwizzle128 | kEightRows | kNoLeading | (shared_address & 0x3FFFFU) / 16;
}

}  // namespace r1::cuda
