// Products of small matrices in shared memory on the tensor cores, by a warp. Sums live in
// registers only if all loops over them are unrolled and all functions that take them are inlined.
//
// Elements lie there as BF16. A float32 is kept as the sum of three BF16 values, its limbs, which
// have its 24 bits together; of the nine products of limbs the six largest are computed, which
// leaves an error of 2^-24 of each product, as a float32 multiplication does.
#pragma once

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

// Element (row, column) of a limb is data[limb * limb_stride + row * stride + column]. The stride
// is an odd multiple of 8 so that eight rows lie in different banks.
struct SharedTile {
    std::uint16_t* data = nullptr;
    int stride = 0;
    int limb_stride = 0;
};

inline __host__ __device__ constexpr int tile_stride(int columns) {
    const int groups = (columns + kGroup - 1) / kGroup;
    return (groups + (groups % 2 == 0 ? 1 : 0)) * kGroup;
}

// Eight neighbours of a row, from a column that is a multiple of 8.
template <int Limbs>
__device__ __forceinline__ void store_limbs(const SharedTile& tile, int row, int column,
                                            Group group) {
#pragma unroll
    for (int limb = 0; limb < Limbs; ++limb) {
        unsigned words[kGroup / 2];
#pragma unroll
        for (int i = 0; i < kGroup; ++i) {
            const std::uint16_t bits = bf16_of(group.v[i]);
            words[i / 2] = i % 2 == 0 ? bits : words[i / 2] | static_cast<unsigned>(bits) << 16;
            const float rest = group.v[i] - float_of_bf16(bits);
            group.v[i] = rest == rest ? rest : 0.0F;  // infinity has no rest
        }
        *reinterpret_cast<uint4*>(tile.data + limb * tile.limb_stride + row * tile.stride +
                                  column) = {words[0], words[1], words[2], words[3]};
    }
}

// One element, for tiles that are written across their rows.
template <int Limbs>
__device__ __forceinline__ void store_limbs(const SharedTile& tile, int row, int column,
                                            float value) {
#pragma unroll
    for (int limb = 0; limb < Limbs; ++limb) {
        const std::uint16_t bits = bf16_of(value);
        tile.data[limb * tile.limb_stride + row * tile.stride + column] = bits;
        const float rest = value - float_of_bf16(bits);
        value = rest == rest ? rest : 0.0F;
    }
}

// Where a lane's part of a 16x8 result lies: elements 0 and 1 in row `row`, 2 and 3 in row + 8.
struct LanePlace {
    int row = static_cast<int>(threadIdx.x % kWarp / 4);
    int column = static_cast<int>(threadIdx.x % 4 * 2);
};

// sums[16 MTiles, 8 NTiles] += a b^T over `depth` elements, a multiple of 16. The warp's part of a
// begins at a_row, that of b at b_row; sums that only rows of b from b_end on would change may stay
// as they are. A transposed operand lies as [depth, rows] in its tile.
template <int MTiles, int NTiles, int Limbs, bool ATransposed = false, bool BTransposed = false>
__device__ __forceinline__ void warp_product(float (&sums)[MTiles][NTiles][4], const SharedTile& a,
                                             int a_row, const SharedTile& b, int b_row, int b_end,
                                             int depth) {
    static_assert(NTiles % 2 == 0);
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const int low = lane % 8;            // which row of an 8x8 matrix the lane points at
    const int first = lane / 8 % 2 * 8;  // and of which of the four matrices
    const int second = lane / 16 * 8;
#pragma unroll 1
    for (int k = 0; k < depth; k += 16) {
#pragma unroll
        for (int a_limb = 0; a_limb < Limbs; ++a_limb) {
            unsigned a_part[MTiles][4];
#pragma unroll
            for (int i = 0; i < MTiles; ++i) {
                const int row = a_row + 16 * i + first;
                const int at = ATransposed ? (k + second + low) * a.stride + row
                                           : (row + low) * a.stride + k + second;
                load_matrices<ATransposed>(a_part[i], a.data + a_limb * a.limb_stride + at);
            }
#pragma unroll
            for (int b_limb = 0; b_limb < Limbs - a_limb; ++b_limb) {
#pragma unroll
                for (int j = 0; j < NTiles; j += 2) {
                    if (b_row + 8 * j >= b_end) {
                        continue;
                    }
                    const int row = b_row + 8 * j + second;
                    const int at = BTransposed ? (k + first + low) * b.stride + row
                                               : (row + low) * b.stride + k + first;
                    unsigned b_part[4];
                    load_matrices<BTransposed>(b_part, b.data + b_limb * b.limb_stride + at);
                    const unsigned left[2] = {b_part[0], b_part[1]};
                    const unsigned right[2] = {b_part[2], b_part[3]};
#pragma unroll
                    for (int i = 0; i < MTiles; ++i) {
                        mma_bf16(sums[i][j], a_part[i], left);
                        mma_bf16(sums[i][j + 1], a_part[i], right);
                    }
                }
            }
        }
    }
}

// Fills rows [0, rows) and columns [0, columns) of a tile, both by the threads of a block together,
// with source(row, column) for each group. Columns are a multiple of 8.
template <int Limbs, class Source>
__device__ __forceinline__ void fill_tile(const SharedTile& tile, int rows, int columns,
                                          const Source& source) {
    const int groups = columns / kGroup;
    for (int i = static_cast<int>(threadIdx.x); i < rows * groups;
         i += static_cast<int>(blockDim.x)) {
        const int row = i / groups;
        const int column = i % groups * kGroup;
        store_limbs<Limbs>(tile, row, column, source(row, column));
    }
}

// Blocks of kernels that multiply tiles: two fit on a multiprocessor. Their loops take the rest.
inline dim3 grid_for_tile_blocks(std::int64_t blocks, const Launch& launch) {
    constexpr std::int64_t kTileBlocksPerSm = 2;
    return dim3{static_cast<unsigned>(
                    std::min(blocks, kTileBlocksPerSm * std::max<std::int64_t>(launch.sms, 1))),
                1, 1};
}

inline constexpr int kMmaDepth = 16;

inline __device__ int padded_depth(std::int64_t depth) {
    return static_cast<int>(ceil_div(depth, kMmaDepth)) * kMmaDepth;
}

// Shared memory from front to back, a tile at a time.
struct TileCarver {
    std::uint16_t* next;

    __device__ SharedTile take(int rows, int columns, int limbs) {
        const int stride = tile_stride(columns);
        const SharedTile tile{next, stride, rows * stride};
        next += limbs * tile.limb_stride;
        return tile;
    }
};

inline constexpr std::size_t tile_bytes(int rows, int columns, int limbs) {
    return sizeof(std::uint16_t) * static_cast<std::size_t>(limbs * rows * tile_stride(columns));
}

}  // namespace r1::cuda
