#include "kernels/dequantize_fp8.hpp"

#include "kernels/cuda/fp8.cuh"

namespace r1::cuda {

namespace {

__global__ void dequantize_fp8_kernel(DequantizeFp8Args p, Rows y) {
    for_each_group(p.rows, p.width, [&](std::int64_t row, std::int64_t column) {
        Group group = values_of(load_codes(p.codes + row * p.width + column, p.width - column));
        const float scale = p.scales[row / p.rows_per_scale * tiles(p.width) + column / kTile];
        for (float& value : group.v) {
            value *= scale;
        }
        store_group(y, row, column, p.width, group);
    });
}

}  // namespace

void dequantize_fp8(const DequantizeFp8Args& args, const Launch& launch) {
    launch_kernel(dequantize_fp8_kernel, grid_for_groups(args.rows, args.width, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args, rows_of(args.y));
}

}  // namespace r1::cuda
