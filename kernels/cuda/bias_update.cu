#include "kernels/bias_update.hpp"

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

namespace {

// Sums of integers are the same in any order.
__global__ void expert_load_kernel(ExpertLoadArgs p) {
    for_each_index(p.tokens * p.experts_per_token, [&](std::int64_t i) {
        const std::int32_t expert = p.indices[i];
        if (expert < 0 || expert >= p.experts) {
            trap();
        }
        atomicAdd(p.load + expert, 1);
    });
}

__global__ void bias_update_kernel(BiasUpdateArgs p) {
    double sum = 0;
    for (std::int64_t i = threadIdx.x; i < p.experts; i += blockDim.x) {
        sum += p.load[i];
    }
    const double mean = block_reduce(sum, Add{}) / static_cast<double>(p.experts);
    for (std::int64_t i = threadIdx.x; i < p.experts; i += blockDim.x) {
        const double missing = mean - static_cast<double>(p.load[i]);
        if (missing > 0) {
            p.bias[i] += p.gamma;
        } else if (missing < 0) {
            p.bias[i] -= p.gamma;
        }
    }
}

}  // namespace

void expert_load(const ExpertLoadArgs& args, const Launch& launch) {
    launch_kernel(expert_load_kernel,
                  grid_for_indices(args.tokens * args.experts_per_token, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args);
}

void bias_update(const BiasUpdateArgs& args, const Launch& launch) {
    launch_kernel(bias_update_kernel, dim3{1, 1, 1}, dim3{kThreads, 1, 1}, 0, launch, args);
}

}  // namespace r1::cuda
