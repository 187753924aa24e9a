// Blocks of a number that depends on the size only sum their squares in double; one block adds them
// up in their order.
#include "kernels/gradient_norm.hpp"

#include "kernels/cuda/reduce.cuh"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

constexpr std::int64_t kBlocksMax = 264;

std::int64_t blocks_of(std::span<const float> gradient) {
    constexpr std::int64_t kElementsPerBlock = 16 * kThreads;
    return std::min(ceil_div(static_cast<std::int64_t>(gradient.size()), kElementsPerBlock),
                    kBlocksMax);
}

std::int64_t all_blocks(const GradientNormArgs& args) {
    std::int64_t sum = 0;
    for (const std::span<const float> gradient : args.gradients) {
        sum += blocks_of(gradient);
    }
    return sum;
}

__global__ void sum_of_squares_kernel(const float* values, std::int64_t count, std::int64_t blocks,
                                      double* sums) {
    for (std::int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
        double sum = 0;
        for (std::int64_t i = block * kThreads + threadIdx.x; i < count; i += blocks * kThreads) {
            sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        }
        sum = block_reduce(sum, Add{});
        if (threadIdx.x == 0) {
            sums[block] = sum;
        }
    }
}

__global__ void gradient_norm_kernel(const double* sums, std::int64_t count, float carried,
                                     float* result) {
    double sum = 0;
    for (std::int64_t i = threadIdx.x; i < count; i += kThreads) {
        sum += sums[i];
    }
    sum = block_reduce(sum, Add{});
    if (threadIdx.x == 0) {
        *result = static_cast<float>(static_cast<double>(carried) + sum);
    }
}

}  // namespace

std::size_t gradient_norm_workspace_bytes(const GradientNormArgs& args) {
    return workspace_bytes_of<double>(all_blocks(args));
}

void gradient_norm(const GradientNormArgs& args, const Launch& launch) {
    Carver carver(args.workspace);
    const std::int64_t count = all_blocks(args);
    auto* sums = carver.take<double>(count);
    double* next = sums;
    for (const std::span<const float> gradient : args.gradients) {
        const std::int64_t blocks = blocks_of(gradient);
        launch_kernel(sum_of_squares_kernel, grid_for(blocks, launch), dim3{kThreads, 1, 1}, 0,
                      launch, gradient.data(), static_cast<std::int64_t>(gradient.size()), blocks,
                      next);
        next += blocks;
    }
    launch_kernel(gradient_norm_kernel, dim3{1, 1, 1}, dim3{kThreads, 1, 1}, 0, launch,
                  static_cast<const double*>(sums), count, args.carried, args.sum_of_squares);
}

}  // namespace r1::cuda
