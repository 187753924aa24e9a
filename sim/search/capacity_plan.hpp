// A plan file ("r1sim.plan/1"): what is to be trained by when, on which clusters it could be, and
// how a step could be spread over them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "sim/search/candidate_cluster.hpp"
#include "sim/search/run_prices.hpp"

namespace r1 {

enum class GoalKind { pretrain, fine_tune };
std::string_view name(GoalKind kind);
enum class Objective { cost, time };
std::string_view name(Objective objective);

struct PlanGoal {
    GoalKind kind = GoalKind::pretrain;
    double tokens = 0;
    std::optional<double> days;  // from now
};

// Nothing: no limit.
struct PlanConstraints {
    std::optional<double> usd;
    std::optional<double> gpus;
    std::optional<double> power_mw;  // of the facility
    double memory = 1;               // share of a GPU's memory that may be planned
};

// A field of the scenario and what it may be.
struct PlanAxis {
    std::string pointer;  // "/plan/pipeline_parallel"
    std::vector<Json> values;
};

struct SearchLimits {
    std::int64_t simulate_min = 20;   // where there are as many candidates
    std::int64_t simulate_max = 200;  // whatever for
};

struct CapacityPlan {
    std::string name;
    PlanGoal goal;
    PlanConstraints constraints;
    Objective objective = Objective::cost;
    RunPrices prices;
    SearchLimits search;
    std::vector<CandidateCluster> clusters;
    std::vector<PlanAxis> axes;
    Json scenario;      // what all candidates share: model, workload, plan, routing, replay, seed
    Document document;  // with the prices in place and overrides applied
};

// Throws InputError with all problems; FeatureError for goals that this version cannot plan.
CapacityPlan load_capacity_plan(const std::filesystem::path& file,
                                const std::vector<Override>& overrides);

}  // namespace r1
