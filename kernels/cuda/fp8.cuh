// Groups of E4M3 codes, and quantisation in tiles of 128 values that 16 neighbouring lanes share.
#pragma once

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

inline constexpr int kTileLanes = static_cast<int>(kTile) / kGroup;

// Eight codes, the first in the low bits of x.
using Codes = uint2;

// codes[0, 8), those from `count` on zero.
inline __device__ Codes load_codes(const std::uint8_t* codes, std::int64_t count) {
    if (count >= kGroup && reinterpret_cast<std::uintptr_t>(codes) % kGroup == 0) {
        return *reinterpret_cast<const Codes*>(codes);
    }
    unsigned words[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
        words[i / 4] |= (i < count ? static_cast<unsigned>(codes[i]) : 0U) << (i % 4 * 8);
    }
    return {words[0], words[1]};
}

inline __device__ Group values_of(const Codes& codes) {
    Group group;
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
        const unsigned word = i < 4 ? codes.x : codes.y;
        group.v[i] = float_of_e4m3(static_cast<std::uint8_t>(word >> (i % 4 * 8)));
    }
    return group;
}

inline __device__ const Group& values_of(const Group& group) { return group; }

inline __device__ void store_codes(std::uint8_t* codes, std::int64_t count, const Group& group) {
    if (count < kGroup || reinterpret_cast<std::uintptr_t>(codes) % kGroup != 0) {
        for (int i = 0; i < kGroup && i < count; ++i) {
            codes[i] = e4m3_of(group.v[i]);
        }
        return;
    }
    unsigned words[2] = {0, 0};
    for (int i = 0; i < kGroup; ++i) {
        words[i / 4] |= static_cast<unsigned>(e4m3_of(group.v[i])) << (i % 4 * 8);
    }
    *reinterpret_cast<uint2*>(codes) = {words[0], words[1]};
}

inline __device__ float largest_magnitude(const Group& group, float at_least) {
    for (const float value : group.v) {
        at_least = fmaxf(at_least, fabsf(value));
    }
    return at_least;
}

// The 16 lanes of a tile call it, each with its part of it, zero where the row has ended. Writes
// `count` codes and returns the scale.
inline __device__ float quantize_tile(Group group, std::uint8_t* codes, std::int64_t count,
                                      float amax_min) {
    const float amax = lanes_reduce(largest_magnitude(group, amax_min), Max{}, kTileLanes);
    const float scale = amax / kE4m3Max;
    for (float& value : group.v) {
        value = value / scale;
    }
    store_codes(codes, count, group);
    return scale;
}

// Calls body(row, tile, column) for each tile of `rows` rows by the 16 lanes that have its columns,
// each with its first one, and all 32 lanes of a warp together; the tiles of a last, odd call lie
// behind the last row.
template <class Body>
__device__ void for_each_tile(std::int64_t rows, std::int64_t width, const Body& body) {
    const std::int64_t in_row = tiles(width);
    const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x / kTileLanes;
    const std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kTileLanes;
    const std::int64_t end = ceil_div(rows * in_row, 2) * 2;
    for (std::int64_t i = first; i < end; i += step) {
        body(i / in_row, i % in_row, i % in_row * kTile + threadIdx.x % kTileLanes * kGroup);
    }
}

inline dim3 grid_for_tiles(std::int64_t rows, std::int64_t width, const Launch& launch) {
    return grid_for(ceil_div(rows * tiles(width), kThreads / kTileLanes), launch);
}

}  // namespace r1::cuda
