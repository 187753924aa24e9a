// Starting kernels without <<<>>>, which only nvcc can read: these sources are also compiled by a
// C++ compiler, against the emulation of tests/emulation/, whose own launch_kernel.cuh stands in
// for this one.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/launch.hpp"

namespace r1::cuda {

// The shared memory that a kernel was started with.
inline __device__ unsigned char* dynamic_shared() {
    extern __shared__ uint4 memory[];
    return reinterpret_cast<unsigned char*>(memory);
}

// Does nothing for an empty grid.
template <class... Parameters, class... Args>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                   const Launch& launch, const Args&... args) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
        return;
    }
    constexpr std::size_t kWithoutAsking = 48 * 1024;
    const auto* function = reinterpret_cast<const void*>(kernel);
    if (shared_bytes > kWithoutAsking) {
        check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes)),
              "cudaFuncSetAttribute");
    }
    [&](Parameters... parameters) {
        std::array<void*, sizeof...(Parameters)> pointers = {&parameters...};
        check(cudaLaunchKernel(function, grid, block, pointers.data(), shared_bytes, launch.stream),
              "cudaLaunchKernel");
    }(args...);
}

}  // namespace r1::cuda
