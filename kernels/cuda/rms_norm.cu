#include "kernels/rms_norm.hpp"

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

namespace {

__global__ void rms_norm_kernel(std::int64_t rows, std::int64_t width, float epsilon, Rows x,
                                Rows weight, Rows y) {
    for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        double squares = 0;
        for (std::int64_t column = threadIdx.x * kGroup; column < width;
             column += blockDim.x * kGroup) {
            const Group group = load_group(x, row, column, width);
            for (const float value : group.v) {
                squares += static_cast<double>(value) * static_cast<double>(value);
            }
        }
        const auto mean =
            static_cast<float>(block_reduce(squares, Add{}) / static_cast<double>(width));
        const float factor = 1.0F / sqrtf(mean + epsilon);
        for (std::int64_t column = threadIdx.x * kGroup; column < width;
             column += blockDim.x * kGroup) {
            Group group = load_group(x, row, column, width);
            const Group scale = load_group(weight, 0, column, width);
            for (int i = 0; i < kGroup; ++i) {
                group.v[i] = group.v[i] * factor * scale.v[i];
            }
            store_group(y, row, column, width, group);
        }
    }
}

}  // namespace

void rms_norm(const RmsNormArgs& args, const Launch& launch) {
    launch_kernel(rms_norm_kernel, grid_for(args.rows, launch), dim3{kThreads, 1, 1}, 0, launch,
                  args.rows, args.width, args.epsilon, rows_of(args.x), rows_of(args.weight),
                  rows_of(args.y));
}

}  // namespace r1::cuda
