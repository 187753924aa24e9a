// What `calibrate --device cpu` measures: training steps of small models, as `r1sim run` executes
// them, taken apart op by op (sim/cost/step_points.hpp).
#pragma once

#include <functional>
#include <string>

#include "runtime/calibration/document.hpp"

namespace r1 {

struct CpuCalibrationOptions {
    int threads = 1;  // of each kernel
    bool quick = false;
    std::function<void(const std::string&)> progress;
};

// Compute ops from steps of one rank, alone on the machine; exchanges from steps of two ranks.
MeasuredCalibration calibrate_cpu(const CpuCalibrationOptions& options);

// `program`: "r1sim 0.1.0+1a2b3c4"; `date`: 2025-01-31.
CalibrationHeader cpu_calibration_header(const MeasuredCalibration& calibration, int threads,
                                         const std::string& program, const std::string& date);

}  // namespace r1
