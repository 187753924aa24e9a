// Where no candidate of a plan is a scenario: the closest that are.
#pragma once

#include <vector>

#include "sim/search/search.hpp"

namespace r1 {

// For each number that candidates are made of, the one closest to those given that makes a scenario
// of a candidate, the closest first. `candidate` counts as enumerate_candidates() does.
std::vector<NearestAnswer> nearest_scenarios(const CapacityPlan& plan,
                                             const CandidateScenarios& scenarios);

}  // namespace r1
