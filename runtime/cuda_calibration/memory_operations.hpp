// Memory-bound kernels and copies at a size, as operations to be timed.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/calibration/job.hpp"
#include "runtime/cuda_calibration/pools.hpp"
#include "runtime/cuda_calibration/timer.hpp"

namespace r1::cuda {

struct MemoryWork {
    Operation operation;
    double bytes = 0;  // that it moves
    std::string derivation;
};

// Of the kind memory or copy.
MemoryWork memory_work(const CalibrationJob& job, const Pools& pools);

}  // namespace r1::cuda
