// Attention by kernels/cuda at the sizes of DeepSeek-V3.
#pragma once

#include "kernels/cuda/launch.hpp"
#include "runtime/calibration/job.hpp"
#include "runtime/cuda_calibration/pools.hpp"
#include "runtime/cuda_calibration/timer.hpp"

namespace r1::cuda {

Operation own_attention_operation(const CalibrationJob& job, const Pools& pools,
                                  const Launch& launch);

}  // namespace r1::cuda
