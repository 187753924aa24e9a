// How busy the links of a replay were, from the flows that were replayed and the times of their
// ops.
#pragma once

#include <string>
#include <vector>

#include "sim/replay_dag.hpp"

namespace r1 {

struct LinkUsage {
    std::string id;    // "stage0.nic.up": of each rank of the lane
    std::string kind;  // nic, nvlink
    Bytes bytes;
    BytesPerSecond capacity;
    double mean_utilisation = 0;      // bytes / (capacity x makespan)
    double peak_utilisation = 0;      // of the busiest thousandth of the makespan
    std::vector<double> over_time{};  // of each thousandth
};

// An op's bytes count as spread evenly over its interval; a thousandth is at most 1.
std::vector<LinkUsage> link_usage(const ReplayDag& dag, const Timeline& timeline);

}  // namespace r1
