// How the step's time answers if one resource were a tenth faster or slower: predicted from the
// replayed graph, and checked by replaying on such hardware.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "model/base/units.hpp"
#include "sim/recorded_step.hpp"

namespace r1 {

struct Setting;
struct Simulation;

// Step times.
struct SensitivityTimes {
    TimePs predicted = 0;
    std::optional<TimePs> resimulated;  // nothing: not asked for
};

struct Sensitivity {
    std::string_view resource;  // compute: matrix_units and hbm at once; else a member of Speeds
    SensitivityTimes faster;    // at 1.1 times its rate
    SensitivityTimes slower;    // at 0.9 times
};

// Of the replayed setting. `check`: with re-simulations, two a resource.
std::vector<Sensitivity> step_sensitivity(const Setting& setting, const Simulation& simulation,
                                          bool check);

// The step replayed at other speeds, on the scenario's engine (of two, the first).
TimePs resimulated_step(const Setting& setting, const Simulation& simulation, const Speeds& speeds);

}  // namespace r1
