// One NVIDIA GPU: the kernels of kernels/cuda, a stream for each stream of the graph. The header of
// the library r1_cuda (cuda_library.hpp loads it); it names nothing of CUDA.
#pragma once

#include "runtime/device.hpp"

namespace r1 {

// Devices of the process's GPU, the `index`-th that CUDA shows; ranks of one process share it
// (loopback). Throws FeatureError where there is none. The first call decides which.
DeviceKind cuda_devices(int index);

namespace cuda {
// What kernels/cuda has for a GPU: all of it, or all but FP8.
KernelSet kernels(bool has_fp8 = true);
}  // namespace cuda

}  // namespace r1
