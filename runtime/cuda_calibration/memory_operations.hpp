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

// As many rows as move about `bytes`, a multiple of `step` and at least that.
std::int64_t whole_rows(double bytes, double row_bytes, std::int64_t step);

// Of the kind memory or copy.
MemoryWork memory_work(const CalibrationJob& job, const Pools& pools);

}  // namespace r1::cuda
