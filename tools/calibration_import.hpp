// Calibrations from what others measure: `calibrate --import nccl-tests`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "sim/cost/nccl_tests.hpp"

namespace r1 {

// A log, and what it does not say itself.
struct RingLog {
    std::string file;
    std::string collective;  // of the curve: "all_reduce"
    NcclTestsLog log;
};

// `collectives`: of the logs that do not say, in their order; `ranks`: of those that do not list
// them. Throws UsageError for names without a curve, or too many of them, InputError for what logs
// lack, FeatureError for logs of several hosts and of tests without a curve.
std::vector<RingLog> ring_logs(const std::vector<std::string>& files,
                               const std::vector<std::string>& collectives,
                               std::optional<int> ranks);

// `base` with the rings of the logs, all within one node, in place of its own: rings of a
// calibration are of one machine. Those times hold for the links of the cluster that they are
// simulated on, so the constant nvlink_bus_gb_per_s goes, too.
Json with_rings(Json base, const std::vector<RingLog>& logs);

}  // namespace r1
