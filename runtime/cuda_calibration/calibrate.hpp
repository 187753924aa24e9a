// Measures what kernels and copies reach on a Hopper GPU, alone and beside held SMs. The header has
// no CUDA in it, so that any source may call this where R1_HAVE_CUDA is defined.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <string>

#include "runtime/calibration/job.hpp"
#include "runtime/calibration/measurement.hpp"

namespace r1 {

struct CudaCalibrationProgress {
    std::size_t done = 0;  // jobs, those left out included
    std::size_t total = 0;
    double elapsed_s = 0;
    std::string now;  // the job that starts
};

struct CudaCalibrationOptions {
    double seconds = 480;  // work that would not end in time is left out
    int device = 0;
    JobGrid grid = JobGrid::full;
    JobKernels kernels = JobKernels::library;
    std::function<void(const CudaCalibrationProgress&)> progress;  // may be empty
    const std::atomic<bool>* stop = nullptr;  // may be null; set it from a signal handler
};

// Throws FeatureError if there is no device that it can run on, and std::runtime_error if the
// device fails. What a library cannot do, or what does not fit, is in `left_out` of the result.
// After a stop the result has `interrupted` set. gpu_calibration_text
// (runtime/calibration/gpu_document.hpp) makes a file of it.
MeasuredCalibration run_cuda_calibration(const CudaCalibrationOptions& options);

}  // namespace r1
