// What the time of a replay's activities goes by: the work of kernels divided by the rates of the
// device, and what bounds transfers.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/replay_dag.hpp"
#include "sim/speeds.hpp"

namespace r1 {

// Of a node's time after its delay, which is fixed.
struct WorkTime {
    RateShares rates;       // of local work; the rest is fixed
    TransferBounds bounds;  // of messages, exchanges and collectives; none: local work

    // What other speeds make of it: exactly 1 if all are 1.
    [[nodiscard]] double factor(const Speeds& speeds) const;
};

class WorkTimes {
public:
    explicit WorkTimes(const ReplayDag& dag);

    // Nodes with the same index do the same. Not of a receive, which has no work.
    [[nodiscard]] std::uint32_t index(std::uint32_t lane, const ReplayNode& node) const;
    [[nodiscard]] const std::vector<WorkTime>& all() const { return times_; }
    // Latencies and start-up of a transfer; 0 for local work.
    [[nodiscard]] Seconds delay(std::uint32_t lane, const ReplayNode& node) const;

private:
    void add_locals();
    void add_transfers(std::uint32_t program);
    [[nodiscard]] TransferBounds bounds(const Activity& activity,
                                        const TransferBounds& of_caps) const;

    const ReplayDag& dag_;
    std::vector<bool> is_nvlink_;  // by endpoint
    std::uint32_t first_send_ = 0;
    std::uint32_t first_exchange_ = 0;
    std::uint32_t first_collective_ = 0;
    std::vector<WorkTime> times_;
};

}  // namespace r1
