// Kernels of several streams share the SMs of their rank, so a kernel's time goes by the rates of
// others too.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/node_intervals.hpp"
#include "sim/work_times.hpp"

namespace r1 {

// Of the time that a node of local work takes.
struct SmShare {
    double own = 1;     // on its own work; the rest on what runs at the same time
    RateShares others;  // of the whole time: what goes by rates there

    // Of all the time, given the shares of its own work.
    [[nodiscard]] RateShares mixed(const RateShares& rates) const {
        return {own * rates.compute + others.compute, own * rates.memory + others.memory};
    }
};

class SmSharing {
public:
    SmSharing(const ReplayDag& dag, const NodeIntervals& intervals, const WorkTimes& works);

    // All of its own, unless it is local work that shares SMs.
    [[nodiscard]] const SmShare& of(std::uint32_t shown, std::uint32_t node) const {
        return shares_[shown][node];
    }

private:
    void add_lane(const ReplayDag& dag, const NodeIntervals& intervals, const WorkTimes& works,
                  std::uint32_t shown);

    std::vector<std::vector<SmShare>> shares_;  // by shown lane and node
};

}  // namespace r1
