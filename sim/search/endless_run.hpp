// Runs that nobody lives to see the end of, most often because failures come too fast.
#pragma once

#include <string>
#include <vector>

#include "sim/search/search.hpp"

namespace r1 {

// Why the run never ends; empty if it does.
std::string why_endless(const RunTerms& terms, const RunEstimate& run);

// What would have to change for the endless run of such steps: how often checkpoints are written,
// where the plan gives that and it is the cause, or else failures come; and what it misses then.
// Empty: steps alone take too long.
std::vector<NeededChange> changes_to_end(const CapacityPlan& plan, const CandidateAnswer& answer,
                                         Seconds step);

}  // namespace r1
