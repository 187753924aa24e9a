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
    const double passes = comm.collective == Collective::all_reduce ? 2 : 1;
    const Bytes volume(comm.payload_bytes.constant * passes * all_but_one(size));
    const RingPart part = ring_part(input.fabric, input.topology, members, rank, volume, passes);
    if (part.nic) {
        const EndpointId nic = network.nic(lane);
        Flow hop{nic, nic, *part.nic, 1, share};
        if (network.has_trunks()) {
            const auto place = std::find(members.begin(), members.end(), rank) - members.begin();
            const std::int32_t next =
                lanes.lane_of(ring_successor(input.fabric, members, at(place)));
            hop.trunks = network.path(lane, next);
            hop.to = network.nic(next);
        }
        activity.flows.push_back(hop);
    }
    if (part.nvlink) {
        const EndpointId nvlink = network.nvlink(lane);
        activity.flows.push_back({nvlink, nvlink, *part.nvlink, 1, BytesPerSecond(0)});
    }
    activity.delay = std::max(activity.delay, part.delay);
    if (!part.nic && part.nvlink) {
        // Whatever the kernels take beyond their bytes on idle links.
        const Seconds wire = *part.nvlink / input.topology.nvlink.achievable();
        const Seconds whole =
            input.cost.node_collective(comm.collective, size, Bytes(comm.payload_bytes.constant));
        activity.delay = std::max(activity.delay, whole - wire);
    }
}

}  // namespace r1
