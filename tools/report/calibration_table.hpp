// What `r1sim calibrate --show` prints for people.
#pragma once

#include <string>

#include "model/base/json_fwd.hpp"

namespace r1 {

// The report of a calibration (calibration_report.hpp) as a table: a function of the report alone.
std::string calibration_table(const Json& report, bool color);

}  // namespace r1
