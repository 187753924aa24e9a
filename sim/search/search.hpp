// The search for a plan: every candidate is bounded, those that could be best are simulated, and
// each that is not chosen says why.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/memory/memory_plan.hpp"
#include "sim/confidence.hpp"
#include "sim/search/candidates.hpp"
#include "sim/search/run_estimate.hpp"

namespace r1 {

struct CandidateMemory {
    RankMemory largest;  // of the pipeline rank that needs most
    Bytes capacity;      // of a GPU
};

// What only the replay of a step can tell.
struct SimulatedStep {
    std::map<std::string, double> path_resources;  // s of the critical path, by resource
    std::vector<Sensitivity> sensitivity;
    std::vector<Confidence> confidence;
    std::vector<std::string> warnings;
};

struct CandidateAnswer {
    Candidate candidate;
    std::optional<bool> feasible;  // nothing: a bound says that it is not the best, or the search
                                   // ended before
    std::string why_not;           // of what is not feasible, or nothing
    std::optional<ParallelPlan> plan;  // resolved; nothing: the scenario is none
    std::optional<RunTerms> terms;
    std::optional<CandidateMemory> memory;
    std::optional<Seconds> endless_step;  // at least, where the run never ends: no bound, no run
    std::optional<RunEstimate> bound;     // at least
    std::optional<RunEstimate> run;       // simulated
    std::optional<SimulatedStep> step;
};

// What would have to change so that a candidate that is not feasible becomes it.
struct NeededChange {
    std::string constraint;  // "goal.days", "constraints.usd", …
    double given = 0;
    double needed = 0;
};
struct NearestAnswer {
    std::size_t candidate = 0;
    std::vector<NeededChange> changes;
};

struct SearchResult {
    std::vector<CandidateAnswer> candidates;  // the best first, the hopeless last
    bool feasible = false;                    // the first candidate is the answer
    bool proven = true;  // no candidate that was not simulated can be better than the answer
    std::size_t bounded = 0;
    std::size_t simulated = 0;
    std::vector<NearestAnswer> nearest;  // if nothing is feasible
};

struct SearchOptions {
    int jobs = 1;                                           // threads; the result does not depend
    std::function<void(const std::string&)> progress = {};  // called by one thread at a time
};

SearchResult search_plan(const CapacityPlan& plan, const CandidateScenarios& scenarios,
                         const SearchOptions& options);

}  // namespace r1
