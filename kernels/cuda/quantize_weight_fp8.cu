#include "kernels/quantize_weight_fp8.hpp"

#include "kernels/cuda/fp8.cuh"
#include "kernels/quantize_fp8.hpp"

namespace r1::cuda {

namespace {

// Groups of a 128x128 block that one thread holds.
constexpr int kGroupsPerThread = static_cast<int>(kTile * kTile) / kGroup / kThreads;

__global__ void quantize_weight_fp8_kernel(QuantizeWeightFp8Args p, Rows x) {
    const std::int64_t across = tiles(p.columns);
    for (std::int64_t block = blockIdx.x; block < tiles(p.rows) * across; block += gridDim.x) {
        const std::int64_t row0 = block / across * kTile + threadIdx.x / kTileLanes;
        const std::int64_t column = block % across * kTile + threadIdx.x % kTileLanes * kGroup;
        const auto row_of = [row0](int i) {
            return row0 + static_cast<std::int64_t>(i) * (kThreads / kTileLanes);
        };
        Group groups[kGroupsPerThread];
        float amax = kQuantizeAmaxMin;
        for (int i = 0; i < kGroupsPerThread; ++i) {
            const bool is_row = row_of(i) < p.rows;
            groups[i] = load_group(x, is_row ? row_of(i) : 0, column, is_row ? p.columns : 0);
            amax = largest_magnitude(groups[i], amax);
        }
        const float scale = block_reduce(amax, Max{}) / kE4m3Max;
        if (threadIdx.x == 0) {
            p.scales[block] = scale;
        }
        for (int i = 0; i < kGroupsPerThread; ++i) {
            for (float& value : groups[i].v) {
                value = value / scale;
            }
            if (row_of(i) < p.rows) {
                store_codes(p.codes + row_of(i) * p.columns + column, p.columns - column,
                            groups[i]);
            }
        }
    }
}

}  // namespace

void quantize_weight_fp8(const QuantizeWeightFp8Args& args, const Launch& launch) {
    launch_kernel(quantize_weight_fp8_kernel,
                  grid_for(tiles(args.rows) * tiles(args.columns), launch), dim3{kThreads, 1, 1}, 0,
                  launch, args, rows_of(args.x));
}

}  // namespace r1::cuda
