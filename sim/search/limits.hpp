// What a plan's goal and constraints ask of a candidate, and what it misses.
#pragma once

#include <string>
#include <vector>

#include "sim/search/search.hpp"

namespace r1 {

// What the candidate misses if its run is as `run` says; the others' limits are not in it.
std::vector<NeededChange> misses(const CapacityPlan& plan, const CandidateAnswer& answer,
                                 const RunEstimate& run);
// In a sentence; `at_least`: the run is a bound.
std::string say(const std::vector<NeededChange>& misses, const CandidateAnswer& answer,
                bool at_least);
// Of a candidate that the best one beats.
std::string say_worse(Objective objective, double value, double best);

}  // namespace r1
