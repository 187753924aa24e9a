#include "kernels/ema_update.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

__global__ void ema_update_kernel(EmaUpdateArgs p) {
    const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
    for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < p.elements;
         i += step) {
        p.ema[i] = p.decay * p.ema[i] + (1 - p.decay) * p.master[i];
    }
}

}  // namespace

void ema_update(const EmaUpdateArgs& args, const Launch& launch) {
    launch_kernel(ema_update_kernel, grid_for(ceil_div(args.elements, kThreads), launch),
                  dim3{kThreads, 1, 1}, 0, launch, args);
}

}  // namespace r1::cuda
