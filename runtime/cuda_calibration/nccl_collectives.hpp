// NCCL's collectives over the GPUs of this machine, in one process, as runtime/nccl_communicator
// sends: an all-to-all is one group of sends and receives. Empty without NCCL (R1_HAVE_NCCL).
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "runtime/calibration/measurement.hpp"

namespace r1::cuda {

struct CollectiveRun {
    double seconds = 0;                                         // what does not fit is left out
    const std::atomic<bool>* stop = nullptr;                    // may be null
    std::function<void(const std::string& now)> progress = {};  // may be empty
};

// How long that takes, by estimate: nothing with one GPU, or without NCCL.
double collective_seconds();

// Adds curves, and what is left out and why. The current device is the same afterwards. Throws
// Stopped; what a GPU or NCCL refuses is left out.
void measure_collectives(const CollectiveRun& run, MeasuredCalibration& result);

}  // namespace r1::cuda
