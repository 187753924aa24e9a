// From the time of one step to a run of many: days, GPU-hours, money and energy, with what failures
// cost.
#pragma once

#include <optional>

#include "sim/search/capacity_plan.hpp"
#include "sim/simulate.hpp"

namespace r1 {

// What holds for a candidate whatever its step takes.
struct RunTerms {
    double gpus = 0;
    double steps = 0;          // tokens of the goal over tokens of a step; need not be whole
    bool loads_first = false;  // fine-tuning begins with a checkpoint
    double usd_per_gpu_hour = 0;
    double usd_per_kwh = 0;
    double power_mw = 0;  // of the facility: board power limits times PUE
    Bytes checkpoint;     // FP32 master weights and two BF16 moments of every parameter
    CheckpointedJob job;
    std::optional<Seconds> checkpoint_interval;  // given; nothing: the optimal one
};
RunTerms run_terms(const CapacityPlan& plan, const CandidateCluster& cluster,
                   const Setting& setting);

// All grow with the step's time.
struct RunEstimate {
    double step_time_s = 0;
    double days = 0;
    double gpu_hours_productive = 0;
    double gpu_hours = 0;  // with checkpoints, lost work and restarts
    double cost_usd = 0;
    double energy_mwh = 0;
    double goodput = 1;                          // productive time over wall-clock time
    std::optional<Seconds> checkpoint_interval;  // nothing: nothing fails
    double failures = 0;                         // expected in the run
};
RunEstimate estimate_run(const RunTerms& terms, Seconds step);

}  // namespace r1
