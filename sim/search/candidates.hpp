// The candidates of a plan: every cluster with every number of GPUs and every combination of the
// axes, each a scenario.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/search/capacity_plan.hpp"
#include "sim/simulate.hpp"

namespace r1 {

struct Candidate {
    std::size_t cluster = 0;  // index into CapacityPlan::clusters
    std::int64_t gpus = 0;
    std::vector<std::pair<std::string, Json>> choices;  // JSON pointer into the scenario, value
};

// In a fixed order: the last axis changes first.
std::vector<Candidate> enumerate_candidates(const CapacityPlan& plan);

// Scenarios of candidates. Thread-safe once made.
class CandidateScenarios {
public:
    // Loads what all candidates name. Throws InputError.
    explicit CandidateScenarios(const CapacityPlan& plan);

    // A scenario file that `simulate` accepts.
    [[nodiscard]] Json scenario(const Candidate& candidate) const;
    // The same, loaded and checked; or what is wrong with it, in a sentence.
    [[nodiscard]] std::optional<Setting> setting(const Candidate& candidate,
                                                 std::string& why_not) const;
    // Whether setting() has something; much faster where it has not.
    [[nodiscard]] bool has_setting(const Candidate& candidate) const;
    [[nodiscard]] bool has_whole_nodes(const Candidate& candidate) const;

private:
    [[nodiscard]] Document document(const Candidate& candidate) const;

    const CapacityPlan& plan_;
    std::vector<Document> bases_;  // by cluster: of its first candidate
};

}  // namespace r1
