// The memory-bound kernels of kernels/cuda at a size: those of runtime/calibration/own_kernels.hpp,
// with the operands of DeepSeek-V3's training step.
#pragma once

#include "kernels/cuda/launch.hpp"
#include "runtime/cuda_calibration/memory_operations.hpp"

namespace r1::cuda {

// Of the kind memory, and not memory_bound or elementwise, which stand for no kernel of the graph.
MemoryWork own_memory_work(const CalibrationJob& job, const Pools& pools, const Launch& launch);

// Whether there is such a kernel.
bool is_own_memory_kernel(const std::string& kernel);

}  // namespace r1::cuda
