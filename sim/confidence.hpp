// What each part of a prediction rests on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/simulate.hpp"

namespace r1 {

struct Confidence {
    std::string component;
    std::string level;  // measured, calibrated, datasheet, assumed
    std::optional<double> error_percent;
    std::string source;
};

// One entry a kernel kind that the graph uses (error: median over the curve's points of what the
// other points predict for each), then network, routing, layout, and what is left out.
std::vector<Confidence> confidence_of(const Setting& setting, const Simulation& simulation);

}  // namespace r1
