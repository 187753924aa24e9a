// Lanes, their links, and the flows of collectives (declared in lowering.hpp).
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"
#include "sim/lowering.hpp"

namespace r1 {

namespace {

// The part of its NIC that a rank has: all of it, unless a neighbour's NIC is removed.
BytesPerSecond nic_share(const Fabric& fabric, RankId rank) {
    const std::optional<int> nic = nic_of(fabric, rank);
    if (!nic) {
        return BytesPerSecond(0);
    }
    const int node = node_of(fabric, rank);
    int users = 0;
    for (int local = 0; local < fabric.gpus_per_node; ++local) {
        users += nic_of(fabric, rank_of(fabric, node, local)) == nic;
    }
    const int place = node * fabric.nics_per_node + *nic;
    const int link = fabric.link_of_nic[static_cast<std::size_t>(place)];
    return fabric.links[static_cast<std::size_t>(link)].total() / users;
}

BytesPerSecond nvlink_share(const Fabric& fabric, RankId rank) {
    const int link = fabric.nvlink_of_gpu[rank.index()];
    return link < 0 ? BytesPerSecond(0) : fabric.links[static_cast<std::size_t>(link)].total();
}

double all_but_one(std::int64_t n) { return static_cast<double>(n - 1) / static_cast<double>(n); }

std::int32_t lanes_of_program(const Instances& instances, Folding fold) {
    switch (fold) {
        case Folding::stage: return 1;
        case Folding::ep_group: return instances.expert_parallel;
        case Folding::none: break;
    }
    return instances.data_parallel;
}

}  // namespace

ExpertGroupShape expert_group_shape(const ExecutionGraph& graph, const Topology& topology) {
    const std::int64_t ranks = graph.instances().expert_parallel;
    return {ranks, std::min<std::int64_t>(ranks, topology.gpus_per_node)};
}

LaneSet::LaneSet(const Instances& instances, Folding fold)
    : instances_(instances), per_program_(lanes_of_program(instances, fold)) {}

LaneNetwork::LaneNetwork(const LoweringInput& input, const LaneSet& lanes)
    : input_(input), lanes_(lanes) {
    const bool folded = input.replay.fold == Folding::stage;
    for (std::int32_t lane = 0; lane < lanes.count(); ++lane) {
        BytesPerSecond nic(INFINITY);
        BytesPerSecond nvlink(INFINITY);
        for (std::int32_t which = 0; which < lanes.multiplicity(); ++which) {
            const RankId rank = lanes.rank(lane, which);
            nic = std::min(nic, nic_share(input.fabric, rank));
            nvlink = std::min(nvlink, nvlink_share(input.fabric, rank));
        }
        const std::string name =
            folded ? fmt::format("stage{}", lane) : fmt::format("rank{}", lanes.rank(lane).value);
        network_.compute.push_back(name + ".sm");
        const EndpointId nic_end = add(name + ".nic", nic);
        links_.push_back({nic_end, add(name + ".nvlink", nvlink)});
    }
}

EndpointId LaneNetwork::add(const std::string& name, BytesPerSecond bandwidth) {
    if (!(bandwidth.value() > 0)) {
        return {};
    }
    network_.endpoints.push_back({name, bandwidth, bandwidth});
    return EndpointId(network_.endpoints.size() - 1);
}

EndpointId LaneNetwork::existing(EndpointId id, std::int32_t lane, const char* what) const {
    if (!id.valid()) {
        throw InputError("cluster", fmt::format("a rank of pipeline rank {} has no {} left, but "
                                                "must communicate over one",
                                                lanes_.program(lane), what));
    }
    return id;
}

EndpointId LaneNetwork::nic(std::int32_t lane) const {
    return existing(links_[static_cast<std::size_t>(lane)].nic, lane, "NIC");
}

EndpointId LaneNetwork::nvlink(std::int32_t lane) const {
    return existing(links_[static_cast<std::size_t>(lane)].nvlink, lane, "NVLink");
}

Route LaneNetwork::route(RankId from, RankId to) const {
    const Fabric& fabric = input_.fabric;
    const int from_node = node_of(fabric, from);
    const int to_node = node_of(fabric, to);
    if (from_node == to_node) {
        return {true, input_.topology.nvlink.latency, BytesPerSecond(0)};
    }
    const NicId a{from_node, nic_of(fabric, from).value_or(0)};
    const NicId b{to_node, nic_of(fabric, to).value_or(0)};
    const std::optional<Seconds> direct = nic_latency(fabric, a, b);
    Route route;
    // Between planes a message first goes to the GPU beside the right NIC.
    route.latency = direct.value_or(fabric.cross_leaf_latency + input_.topology.nvlink.latency);
    const double oversubscription = input_.topology.fabric.oversubscription;
    if (oversubscription > 1 && leaf_of(fabric, a) != leaf_of(fabric, b)) {
        route.rate_max = input_.topology.nic.achievable() / oversubscription;
    }
    return route;
}

Route LaneNetwork::route(std::int32_t from, std::int32_t to) const {
    Route worst = route(lanes_.rank(from), lanes_.rank(to));
    for (std::int32_t which = 1; which < lanes_.multiplicity(); ++which) {
        const Route other = route(lanes_.rank(from, which), lanes_.rank(to, which));
        worst.over_nvlink = worst.over_nvlink && other.over_nvlink;
        worst.latency = std::max(worst.latency, other.latency);
        if (other.rate_max.value() > 0) {
            worst.rate_max = other.rate_max;
        }
    }
    for (const std::int32_t lane : {from, to}) {
        static_cast<void>(worst.over_nvlink ? nvlink(lane) : nic(lane));
    }
    return worst;
}

void add_collective_flows(const LoweringInput& input, const LaneSet& lanes,
                          const LaneNetwork& network, const CommOp& comm, std::int32_t stage,
                          std::int32_t lane, Activity& activity) {
    const RankId rank = lanes.rank(lane);
    const std::vector<RankId> members = input.graph.group(comm.group, rank, stage);
    const auto size = static_cast<std::int64_t>(members.size());
    if (size < 2) {
        return;
    }
    std::int64_t on_node = 0;
    Route farthest;
    for (const RankId member : members) {
        on_node += node_of(input.fabric, member) == node_of(input.fabric, rank);
        if (member == rank) {
            continue;
        }
        const Route route = network.route(rank, member);
        farthest.latency = std::max(farthest.latency, route.latency);
        if (route.rate_max.value() > 0) {
            farthest.rate_max = route.rate_max;
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
        activity.flows.push_back({nic, nic, volume * outside, 1, farthest.rate_max});
    }
    if (on_node > 1) {
        const EndpointId nvlink = network.nvlink(lane);
        activity.flows.push_back({nvlink, nvlink, volume * (1 - outside), 1, BytesPerSecond(0)});
    }
    // Small messages go along trees.
    const double steps = passes * std::ceil(std::log2(static_cast<double>(size)));
    activity.delay = std::max(activity.delay, farthest.latency * steps);
}

}  // namespace r1
