// Formulas: kernels/grpo_output.hpp. A block an output, a thread a token.
#include "kernels/grpo.hpp"

#include "kernels/cuda/reduce.cuh"
#include "kernels/grpo_output.hpp"

namespace r1::cuda {

namespace {

__global__ void grpo_advantages_kernel(GrpoAdvantagesArgs p) {
    for_each_index(p.outputs, [&](std::int64_t i) {
        p.advantages[i] = static_cast<float>(grpo_advantage(p, i));
    });
}

__device__ double output_weight(const GrpoBatch& batch, std::int64_t output) {
    int length = 0;
    for (std::int64_t i = threadIdx.x; i < batch.length_max; i += blockDim.x) {
        length += batch.mask[output * batch.length_max + i] != 0 ? 1 : 0;
    }
    return grpo_token_weight(batch, block_reduce(length, Add{}));
}

__global__ void grpo_objective_kernel(GrpoObjectiveArgs p) {
    const GrpoBatch& batch = p.batch;
    for (std::int64_t output = blockIdx.x; output < batch.outputs; output += gridDim.x) {
        const double weight = output_weight(batch, output);
        double sum = 0;
        for (std::int64_t i = threadIdx.x; i < batch.length_max; i += blockDim.x) {
            const GrpoToken token = grpo_token(batch, output, i);
            const std::int64_t at = output * batch.length_max + i;
            p.ratio[at] = static_cast<float>(token.ratio);
            p.surrogate[at] = static_cast<float>(token.surrogate);
            p.k3[at] = static_cast<float>(token.k3);
            sum += token.surrogate - batch.beta * token.k3;
        }
        sum = block_reduce(sum, Add{});
        if (threadIdx.x == 0) {
            p.loss[output] = static_cast<float>(-weight * sum);
        }
    }
}

__global__ void grpo_backward_kernel(GrpoBackwardArgs p) {
    const GrpoBatch& batch = p.batch;
    for (std::int64_t output = blockIdx.x; output < batch.outputs; output += gridDim.x) {
        const double weight = output_weight(batch, output);
        for (std::int64_t i = threadIdx.x; i < batch.length_max; i += blockDim.x) {
            p.d_nll[output * batch.length_max + i] =
                static_cast<float>(-weight * grpo_token(batch, output, i).d_nll);
        }
    }
}

}  // namespace

void grpo_advantages(const GrpoAdvantagesArgs& args, const Launch& launch) {
    launch_kernel(grpo_advantages_kernel, grid_for_indices(args.outputs, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args);
}

void grpo_objective(const GrpoObjectiveArgs& args, const Launch& launch) {
    launch_kernel(grpo_objective_kernel, grid_for(args.batch.outputs, launch), dim3{kThreads, 1, 1},
                  0, launch, args);
}

void grpo_backward(const GrpoBackwardArgs& args, const Launch& launch) {
    launch_kernel(grpo_backward_kernel, grid_for(args.batch.outputs, launch), dim3{kThreads, 1, 1},
                  0, launch, args);
}

}  // namespace r1::cuda
