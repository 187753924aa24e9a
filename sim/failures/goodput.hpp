// What failures cost a long run: how often something breaks, how often a checkpoint is worth its
// time, and how much longer the run takes than its steps. Young, "A first order approximation to
// the optimum checkpoint interval", CACM 17 (1974); Daly, "A higher order estimate of the optimum
// checkpoint interval for restart dumps", FGCS 22 (2006).
#pragma once

#include <cstdint>
#include <optional>

#include "model/base/units.hpp"

namespace r1 {

// Mean times between failures of one component; nothing: it never fails.
struct FailureRates {
    std::optional<double> gpu_mtbf_hours;
    std::optional<double> nic_mtbf_hours;
    std::optional<double> switch_mtbf_hours;
    std::optional<double> node_mtbf_hours;  // whatever else stops a node, software included
};

struct ComponentCounts {
    std::int64_t gpus = 0;
    std::int64_t nics = 0;
    std::int64_t switches = 0;
    std::int64_t nodes = 0;
};

// Of a job that any failure of a component stops; infinite if nothing fails.
Seconds mean_time_between_failures(const FailureRates& rates, const ComponentCounts& counts);

// A job that writes checkpoints while it stands still, and after a failure restarts from the last.
struct CheckpointedJob {
    Seconds mtbf;              // of the whole job; exponentially distributed
    Seconds checkpoint_write;  // the job stands still
    Seconds restart;           // from a failure until steps run again; may fail too
};

// Wall-clock time over the time of the steps alone, in expectation (Daly's equation 20 without the
// last checkpoint's savings): (M / t) e^(R / M) (e^((t + d) / M) - 1) with a checkpoint after each
// `interval` t of steps. 1 if nothing fails.
double wall_over_productive(const CheckpointedJob& job, Seconds interval);

// The interval that makes it smallest: t / M = 1 - e^(-(t + d) / M); for small d / M that is
// Young's sqrt(2 d M). Nothing if nothing fails.
std::optional<Seconds> optimal_checkpoint_interval(const CheckpointedJob& job);

}  // namespace r1
