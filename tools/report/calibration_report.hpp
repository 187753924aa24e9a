// What a calibration file makes of its points ("r1sim.calibration_report/1"): every curve with its
// fit, and how far the fit is from the points.
#pragma once

#include "model/base/json_fwd.hpp"
#include "sim/cost/calibration.hpp"

namespace r1 {

// `file`: the JSON that the calibration was read from, for what only people read.
Json calibration_report(const Calibration& calibration, const Json& file);

}  // namespace r1
