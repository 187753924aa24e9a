#include "kernels/ema_update.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

__global__ void ema_update_kernel(EmaUpdateArgs p) {
    for_each_index(p.elements, [&](std::int64_t i) {
        p.ema[i] = p.decay * p.ema[i] + (1 - p.decay) * p.master[i];
    });
}

}  // namespace

void ema_update(const EmaUpdateArgs& args, const Launch& launch) {
    launch_kernel(ema_update_kernel, grid_for_indices(args.elements, launch), dim3{kThreads, 1, 1},
                  0, launch, args);
}

}  // namespace r1::cuda
