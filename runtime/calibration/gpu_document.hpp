// A calibration run on a GPU as a calibration file.
#pragma once

#include <string>

#include "runtime/calibration/measurement.hpp"

namespace r1 {

// What the measurement cannot know of itself.
struct CalibrationOrigin {
    std::string name;     // of the calibration
    std::string program;  // "r1_calibrate_cuda 0.1.0+1a2b3c4"
    std::string date;     // 2025-01-31
};

// As calibration_text() of document.hpp.
std::string gpu_calibration_text(const MeasuredCalibration& calibration,
                                 const CalibrationOrigin& origin);

// The preset under topologies/devices/ that a device of that name is, or its name as a word.
std::string device_preset(const MeasuredDevice& device);

}  // namespace r1
