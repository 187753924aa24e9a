// What was measured as a calibration file (topologies/calibration/calibration.schema.json).
#pragma once

#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "runtime/calibration/measurement.hpp"

namespace r1 {

// A way of measuring: key of the file's sources, and what it is.
struct MeasuredSource {
    std::string key;
    std::string what;
};

struct CalibrationHeader {
    std::string name;  // of the calibration
    std::string comment;
    std::string device;  // preset under topologies/devices/
    std::string origin;  // which program, when, on which machine
    std::vector<MeasuredSource> sources;
};

// Throws InternalError for a run without points: there is no such file.
Json calibration_json(const CalibrationHeader& header, const MeasuredCalibration& calibration);

// Text of a calibration file, one point a line.
std::string calibration_text(const Json& calibration);

std::string formatted_number(double value, const char* format = "%.6g");
// As the published files have them: more digits would be noise.
double six_digits(double value);
std::string today();  // "2025-01-31", UTC

}  // namespace r1
