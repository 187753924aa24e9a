// The answer of `plan` as JSON ("r1sim.plan_answer/1"), and its table.
#pragma once

#include <string>

#include "model/base/json_fwd.hpp"
#include "sim/search/search.hpp"

namespace r1 {

// `scenarios` says what the scenario file of a candidate is.
Json plan_answer_json(const CapacityPlan& plan, const CandidateScenarios& scenarios,
                      const SearchResult& result);
std::string plan_answer_table(const Json& answer, bool color);

}  // namespace r1
