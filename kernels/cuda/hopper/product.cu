// A block takes tiles of y in turns, 128x128, or 128x64 where there are few.
#include "kernels/cuda/hopper/product.hpp"

#include "kernels/cuda/hopper/stages.cuh"

namespace r1::cuda {

namespace {

struct Fp8Operands {
    const float* a_scales;
    std::int64_t a_row_stride, a_tile_stride;
    const float* b_scales;
    std::int64_t b_row_stride, b_tile_stride, b_group_stride;
};

struct HopperProduct {
    Fp8Operands scales;
    Rows y;
    std::int64_t m, n, k, groups;
    const std::int32_t* offsets;  // nullptr: one group of m rows
};

// A tile of y, in one group.
struct TileOfY {
    std::int64_t group, row, row_end, column;
};

// The block's tiles. Those below each other come one after the other: they read the same columns
// of b.
template <int Columns, class Body>
__device__ __forceinline__ void for_each_tile_of_y(const HopperProduct& p, const Body& body) {
    std::int64_t next = blockIdx.x;
    std::int64_t before = 0;
    for (std::int64_t group = 0; group < p.groups; ++group) {
        const std::int64_t begin = p.offsets == nullptr ? 0 : p.offsets[group];
        const std::int64_t end = p.offsets == nullptr ? p.m : p.offsets[group + 1];
        const std::int64_t down = ceil_div(end - begin, kTileRows);
        const std::int64_t all = down * ceil_div(p.n, Columns);
        for (; next < before + all; next += gridDim.x) {
            const std::int64_t i = next - before;
            body(TileOfY{group, begin + i % down * kTileRows, end, i / down * Columns});
        }
        before += all;
    }
}

template <int Columns>
__device__ void load_tiles(const TileMap& a, const TileMap& b, const HopperProduct& p,
                           Stages<Columns>& stages) {
    for_each_tile_of_y<Columns>(p, [&](const TileOfY& tile) {
        for (std::int64_t k = 0; k < p.k; k += kTile) {
            load_stage(stages, a, tile.row, tile.row + kHalfRows < tile.row_end, b,
                       tile.group * p.n + tile.column, k);
        }
    });
}

// By a warpgroup, its half of the block's tiles.
template <int Columns>
__device__ void multiply_tiles(const HopperProduct& p, Stages<Columns>& stages) {
    const Fp8Operands& s = p.scales;
    for_each_tile_of_y<Columns>(p, [&](const TileOfY& tile) {
        const std::int64_t first_row = tile.row + half_of_warpgroup() * kHalfRows;
        const std::int64_t row = first_row + row_of_lane();
        const float* low_scales = s.a_scales + std::min(row, tile.row_end - 1) * s.a_row_stride;
        const float* high_scales =
            s.a_scales + std::min(row + 8, tile.row_end - 1) * s.a_row_stride;
        const float* b_scales =
            s.b_scales + tile.group * s.b_group_stride + tile.column / kTile * s.b_row_stride;
        float sums[Columns / 2] = {};
        float total[Columns / 2] = {};
        for (std::int64_t block = 0; block < tiles(p.k); ++block) {
            // Asked for before the products, there after them.
            const float b_scale = b_scales[block * s.b_tile_stride];
            const float low = low_scales[block * s.a_tile_stride] * b_scale;
            const float high = high_scales[block * s.a_tile_stride] * b_scale;
            multiply_stage(stages, first_row < tile.row_end, sums);
#pragma unroll
            for (int i = 0; i < Columns / 2; ++i) {
                total[i] = fmaf(sums[i], i % 4 < 2 ? low : high, total[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < Columns / 16; ++i) {
            const Group group = gather_group(total, i);
            const GroupPlace place = place_of_group<Columns / 2>(i);
            if (row + place.row < tile.row_end && tile.column + place.column < p.n) {
                store_group(p.y, row + place.row, tile.column + place.column, p.n, group);
            }
        }
    });
}

template <int Columns>
__global__ __launch_bounds__(kRoleThreads,
                             1) void hopper_product_kernel(const __grid_constant__ TileMap a,
                                                           const __grid_constant__ TileMap b,
                                                           HopperProduct p) {
    run_stages<Columns>([&](Stages<Columns>& stages) { load_tiles(a, b, p, stages); },
                        [&](Stages<Columns>& stages) { multiply_tiles(p, stages); });
}

// At most: each group may end inside a tile.
std::int64_t tiles_of_y(const Product& args, std::int64_t columns) {
    const bool is_grouped = args.grouping == ProductGroups::rows;
    return (ceil_div(args.m, kTileRows) + (is_grouped ? args.groups : 0)) *
           ceil_div(args.n, columns);
}

template <int Columns>
void launch_hopper_product(const Product& args, const HopperProduct& p, const Launch& launch) {
    launch_kernel(
        hopper_product_kernel<Columns>, grid_of_roles(tiles_of_y(args, Columns), launch),
        dim3{kRoleThreads, 1, 1}, HopperShape<Columns>::kShared, launch,
        tile_map(args.a.matrix.data, args.m, args.k, args.a.matrix.stride, kHalfRows),
        tile_map(args.b.matrix.data, args.groups * args.n, args.k, args.b.matrix.stride, Columns),
        p);
}

}  // namespace

bool hopper_product(const Product& args, const Launch& launch) {
    const bool is_grouped = args.grouping == ProductGroups::rows;
    if (!hopper_takes_fp8(args.k, launch) || args.a.matrix.dtype != DType::e4m3 ||
        args.a.transposed || args.b.transposed || args.a.rows_per_scale != 1 ||
        args.b.rows_per_scale != kTile || args.accumulate || !has_tiles(args.a.matrix) ||
        !has_tiles(args.b.matrix) ||
        (is_grouped ? args.b.group_stride != args.n * args.b.matrix.stride
                    : args.grouping != ProductGroups::batch || args.groups != 1)) {
        return false;
    }
    if (args.m == 0 || args.n == 0 || args.groups == 0) {
        return true;
    }
    const Fp8Operands scales{
        args.a.scales,           args.a.scale_row_stride,  args.a.scale_tile_stride, args.b.scales,
        args.b.scale_row_stride, args.b.scale_tile_stride, args.b.scale_group_stride};
    const HopperProduct p{scales,
                          rows_of(args.y),
                          args.m,
                          args.n,
                          args.k,
                          args.groups,
                          is_grouped ? args.offsets : nullptr};
    if (tiles_of_y(args, kTile) < launch.sms) {
        launch_hopper_product<kTile / 2>(args, p, launch);
    } else {
        launch_hopper_product<kTile>(args, p, launch);
    }
    return true;
}

}  // namespace r1::cuda
