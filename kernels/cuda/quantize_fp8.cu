#include "kernels/quantize_fp8.hpp"

#include "kernels/cuda/fp8.cuh"

namespace r1::cuda {

namespace {

__global__ void quantize_fp8_kernel(QuantizeFp8Args p, Rows x) {
    for_each_tile(p.rows, p.width, [&](std::int64_t row, std::int64_t tile, std::int64_t column) {
        const bool is_row = row < p.rows;
        const Group group = load_group(x, is_row ? row : 0, column, is_row ? p.width : 0);
        const float scale = quantize_tile(group, p.codes + row * p.width + column,
                                          is_row ? p.width - column : 0, p.amax_min);
        if (is_row && threadIdx.x % kTileLanes == 0) {
            p.scales[row * tiles(p.width) + tile] = scale;
        }
    });
}

}  // namespace

void quantize_fp8(const QuantizeFp8Args& args, const Launch& launch) {
    launch_kernel(quantize_fp8_kernel, grid_for_tiles(args.rows, args.width, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args, rows_of(args.x));
}

}  // namespace r1::cuda
