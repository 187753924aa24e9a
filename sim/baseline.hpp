// What a scenario's hardware changes against its baseline's, by resource: the same graph is
// replayed on the baseline, and again whenever one more resource is the scenario's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/base/units.hpp"
#include "model/scenario/scenario.hpp"
#include "sim/resources.hpp"

namespace r1 {

struct Setting;
struct Simulation;

struct ResourceShare {
    Resource resource = Resource::rest;
    TimePs step = 0;          // with this and all earlier resources of the scenario
    TimePs contribution = 0;  // what this one added
};

struct BaselineComparison {
    std::string cluster;
    std::string calibration;
    TimePs step = 0;                         // on the baseline
    TimePs difference = 0;                   // the scenario's step less that
    std::vector<ResourceShare> by_resource;  // contributions add up to the difference
    std::vector<HardwareChange> changed;
};

// Nothing if the scenario names none. Problems go to `diagnostics`.
std::optional<Hardware> read_baseline(const Document& document, Diagnostics& diagnostics);

// Checks that the baseline can take the scenario's ranks as its own cluster does.
void check_baseline(const Document& document, const Scenario& scenario, const Hardware& baseline,
                    Diagnostics& diagnostics);

// `simulation` is the replayed setting, which must have a baseline.
BaselineComparison compare_with_baseline(const Setting& setting, const Simulation& simulation);

}  // namespace r1
