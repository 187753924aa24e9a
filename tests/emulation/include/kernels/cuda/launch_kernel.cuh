// Stands in for kernels/cuda/launch_kernel.cuh in the emulation.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/launch.hpp"

namespace r1::cuda {

inline unsigned char* dynamic_shared() {
    return reinterpret_cast<unsigned char*>(emulation::shared_memory());
}

template <class... Parameters, class... Args>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                   const Launch& launch, const Args&... args) {
    emulation::enqueue(launch.stream, [=] {
        emulation::run_grid(grid, block, shared_bytes, [&] { kernel(args...); });
    });
}

}  // namespace r1::cuda
