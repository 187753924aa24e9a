// Rings: what lanes do in a collective (declared in lowering.hpp).
#include <algorithm>
#include <cmath>
#include <set>

#include "model/base/index.hpp"
#include "sim/lowering.hpp"

namespace r1 {

namespace {

double all_but_one(std::int64_t n) { return static_cast<double>(n - 1) / static_cast<double>(n); }

}  // namespace

RankId ring_successor(const Fabric& fabric, const std::vector<RankId>& members, std::size_t place) {
    const std::size_t size = members.size();
    const auto node = [&](std::size_t i) { return node_of(fabric, members[i % size]); };
    std::size_t next = place;
    while (next < place + size && node(next) == node(place)) ++next;
    if (next == place + size) return members[place];
    std::size_t first = place;  // of its node
    while (first > 0 && node(first - 1) == node(place)) --first;
    const std::size_t like = next + (place - first);
    return members[(node(like) == node(next) ? like : next) % size];
}

BytesPerSecond ring_share(const LoweringInput& input, const Trunks& trunks, const CommOp& comm,
                          std::int32_t stage, std::int32_t program) {
    if (!trunks.matter()) {
        return {};
    }
    TrunkLoad load(trunks);
    std::vector<TrunkPath> hops;
    std::set<RankId> seen;  // first members
    const Instances& instances = input.graph.instances();
    for (std::int32_t replica = 0; replica < instances.data_parallel; ++replica) {
        const std::vector<RankId> members =
            input.graph.group(comm.group, instances.rank(program, replica), stage);
        for (std::size_t i = 0; i < members.size() && !seen.contains(members.front()); ++i) {
            hops.push_back(trunks.path(members[i], ring_successor(input.fabric, members, i)));
            load.add(hops.back(), Bytes(1));
        }
        seen.insert(members.front());
    }
    Seconds longest;
    for (const TrunkPath& hop : hops) {
        longest = std::max(longest, load.time(hop));
    }
    return longest.value() > 0 ? Bytes(1) / longest : BytesPerSecond(0);
}

void add_collective_flows(const LoweringInput& input, const LaneSet& lanes,
                          const LaneNetwork& network, const CommOp& comm, std::int32_t stage,
                          std::int32_t lane, BytesPerSecond share, Activity& activity) {
    const RankId rank = lanes.rank(lane);
    const std::vector<RankId> members = input.graph.group(comm.group, rank, stage);
    const auto size = static_cast<std::int64_t>(members.size());
    if (size < 2) {
        return;
    }
    std::int64_t on_node = 0;
    Seconds farthest;
    for (const RankId member : members) {
        on_node += node_of(input.fabric, member) == node_of(input.fabric, rank);
        if (member != rank) {
            farthest = std::max(farthest, network.route(rank, member).latency);
        }
    }
    // Ring over all members, one channel for each NIC of the node: a rank passes on (n-1)/n of the
    // buffer, of which one hop in `on_node` leaves the node.
    const double passes = comm.collective == Collective::all_reduce ? 2 : 1;
    const Bytes volume(comm.payload_bytes.constant * passes * all_but_one(size));
    const bool leaves_node = on_node < size;
    const double outside = leaves_node ? 1.0 / static_cast<double>(on_node) : 0;
    if (leaves_node) {
        const EndpointId nic = network.nic(lane);
        Flow hop{nic, nic, volume * outside, 1, share};
        if (network.has_trunks()) {
            const auto place = std::find(members.begin(), members.end(), rank) - members.begin();
            const std::int32_t next =
                lanes.lane_of(ring_successor(input.fabric, members, at(place)));
            hop.trunks = network.path(lane, next);
            hop.to = network.nic(next);
        }
        activity.flows.push_back(hop);
    }
    if (on_node > 1) {
        const EndpointId nvlink = network.nvlink(lane);
        activity.flows.push_back({nvlink, nvlink, volume * (1 - outside), 1, BytesPerSecond(0)});
    }
    // Small messages go along trees.
    const double steps = passes * std::ceil(std::log2(static_cast<double>(size)));
    activity.delay = std::max(activity.delay, farthest * steps);
}

}  // namespace r1
