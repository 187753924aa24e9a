#include "sim/work_times.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "model/base/check.hpp"

namespace r1 {

double WorkTime::factor(const Speeds& speeds) const {
    const double longest = bounds.longest().value();
    if (longest > 0) {
        const TransferBounds now{bounds.nvlink / speeds.nvlink, bounds.network / speeds.network,
                                 bounds.comm_sms / speeds.rest};
        return now.longest().value() / longest;
    }
    const double fixed = 1 - rates.compute - rates.memory;
    return 1 + rates.compute * (1 / speeds.matrix_units - 1) + rates.memory * (1 / speeds.hbm - 1) +
           fixed * (1 / speeds.rest - 1);
}

WorkTimes::WorkTimes(const ReplayDag& dag) : dag_(dag), is_nvlink_(dag.network.endpoints.size()) {
    for (const LaneLinks& lane : dag.links) {
        if (lane.nvlink.valid()) {
            is_nvlink_[lane.nvlink.index()] = true;
        }
    }
    add_locals();
    first_send_ = static_cast<std::uint32_t>(times_.size());
    first_exchange_ = first_send_ + static_cast<std::uint32_t>(dag.sends.size());
    first_collective_ = first_exchange_ + static_cast<std::uint32_t>(dag.exchange_flows.size());
    times_.resize(first_collective_ + dag.collectives.size());
    for (std::uint32_t program = 0; program < dag.programs.size(); ++program) {
        add_transfers(program);
    }
    // Of flows that a collective's caps limit, the trunks of the network are what does.
    for (std::size_t i = 0; i < dag.collectives.size(); ++i) {
        times_[first_collective_ + i].bounds =
            bounds(dag.collectives[i].activity, {Seconds(0), Seconds(1), Seconds(0)});
    }
}

void WorkTimes::add_locals() {
    for (const std::vector<Segment>& list : dag_.segments) {
        for (const Segment& segment : list) {
            WorkTime& time = times_.emplace_back();
            for (std::size_t i = 0; i < segment.ops.size(); ++i) {
                const double share = segment.share_end[i] - segment.share_begin[i];
                time.rates.compute += share * segment.rates[i].compute;
                time.rates.memory += share * segment.rates[i].memory;
            }
        }
    }
    R1_CHECK(times_.size() == dag_.locals.size());
}

void WorkTimes::add_transfers(std::uint32_t program) {
    for (const ReplayNode& node : dag_.programs[program]) {
        if (node.kind == NodeKind::send) {
            const std::uint32_t lane = program * dag_.lanes_per_program;
            times_[first_send_ + node.work].bounds =
                bounds(dag_.activity(lane, node), {Seconds(0), Seconds(1), Seconds(0)});
        } else if (node.kind == NodeKind::exchange) {
            for (std::uint32_t group = 0; group < dag_.groups_per_program(); ++group) {
                const std::uint32_t flows = dag_.exchanges[node.work].flows + group;
                WorkTime& time = times_[first_exchange_ + flows];
                if (time.bounds.longest() == Seconds(0)) {  // else another node has the same
                    time.bounds =
                        bounds(dag_.joint_activity(node.work * dag_.groups_per_program() + group),
                               dag_.exchange_flows[flows].kernels);
                }
            }
        }
    }
}

// Alone on its links: the longest that any is busy, and what the caps of flows make of it, which
// follow from `of_caps`.
TransferBounds WorkTimes::bounds(const Activity& activity, const TransferBounds& of_caps) const {
    std::map<std::size_t, std::array<double, 2>> bytes;      // up and down, by endpoint
    std::map<std::size_t, std::array<double, 2>> on_trunks;  // the same, by trunk
    Seconds capped;
    for (const Flow& flow : activity.flows) {
        const double sum = flow.bytes.value() * flow.multiplicity;
        if (flow.from.valid()) {
            bytes[flow.from.index()][0] += sum;
        }
        if (flow.to.valid()) {
            bytes[flow.to.index()][1] += sum;
        }
        if (flow.trunks.up.valid()) {
            on_trunks[flow.trunks.up.index()][0] += sum;
        }
        if (flow.trunks.down.valid()) {
            on_trunks[flow.trunks.down.index()][1] += sum;
        }
        if (flow.rate_max.value() > 0) {
            capped = std::max(capped, flow.bytes / flow.rate_max);
        }
    }
    TransferBounds result;
    if (of_caps.longest().value() > 0) {
        const double scale = capped / of_caps.longest();
        result = {of_caps.nvlink * scale, of_caps.network * scale, of_caps.comm_sms * scale};
    }
    for (const auto& [endpoint, sums] : bytes) {
        const EngineNetwork::Endpoint& end = dag_.network.endpoints[endpoint];
        Seconds& bound = is_nvlink_[endpoint] ? result.nvlink : result.network;
        bound = std::max({bound, Bytes(sums[0]) / end.up, Bytes(sums[1]) / end.down});
    }
    for (const auto& [trunk, sums] : on_trunks) {
        const EngineNetwork::Trunk& link = dag_.network.trunks[trunk];
        result.network =
            std::max({result.network, Bytes(sums[0]) / link.up, Bytes(sums[1]) / link.down});
    }
    return result;
}

std::uint32_t WorkTimes::index(std::uint32_t lane, const ReplayNode& node) const {
    const std::uint32_t place = lane % dag_.lanes_per_program;
    switch (node.kind) {
        case NodeKind::local: return node.work;
        case NodeKind::send: return first_send_ + node.work;
        case NodeKind::exchange:
            return first_exchange_ + dag_.exchanges[node.work].flows + place / dag_.lanes_per_group;
        case NodeKind::collective: return first_collective_ + dag_.collective_of[node.work][place];
        case NodeKind::receive: break;
    }
    R1_CHECK(false);
    return 0;
}

Seconds WorkTimes::delay(std::uint32_t lane, const ReplayNode& node) const {
    switch (node.kind) {
        case NodeKind::send: return dag_.activity(lane, node).delay;
        case NodeKind::exchange:
            return dag_
                .exchange_flows[dag_.exchanges[node.work].flows +
                                lane % dag_.lanes_per_program / dag_.lanes_per_group]
                .delay;
        case NodeKind::collective:
            return dag_.collectives[dag_.collective_of[node.work][lane % dag_.lanes_per_program]]
                .activity.delay;
        case NodeKind::local:
        case NodeKind::receive: break;
    }
    return Seconds(0);
}

}  // namespace r1
