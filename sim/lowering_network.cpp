// Flows of messages, expert all-to-alls and collectives (declared in lowering.hpp).
#include <algorithm>
#include <cmath>
#include <map>

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

}  // namespace

ExpertGroupShape expert_group_shape(const ExecutionGraph& graph, const Topology& topology) {
    const std::int64_t ranks = graph.instances().expert_parallel;
    return {ranks, std::min<std::int64_t>(ranks, topology.gpus_per_node)};
}

LaneNetwork::LaneNetwork(const LoweringInput& input) : input_(input) {
    const Instances& instances = input.graph.instances();
    for (std::int32_t program = 0; program < instances.pipeline_parallel; ++program) {
        BytesPerSecond nic(INFINITY);
        BytesPerSecond nvlink(INFINITY);
        for (std::int32_t replica = 0; replica < instances.data_parallel; ++replica) {
            const RankId rank = instances.rank(program, replica);
            nic = std::min(nic, nic_share(input.fabric, rank));
            nvlink = std::min(nvlink, nvlink_share(input.fabric, rank));
        }
        network_.compute.push_back(fmt::format("stage{}.sm", program));
        nics_.push_back(add(fmt::format("stage{}.nic", program), nic));
        nvlinks_.push_back(add(fmt::format("stage{}.nvlink", program), nvlink));
    }
}

EndpointId LaneNetwork::add(const std::string& name, BytesPerSecond bandwidth) {
    if (!(bandwidth.value() > 0)) {
        return {};
    }
    network_.endpoints.push_back({name, bandwidth, bandwidth});
    return EndpointId(network_.endpoints.size() - 1);
}

namespace {

EndpointId existing(const std::vector<EndpointId>& ids, std::int32_t program, const char* what) {
    const EndpointId id = ids[static_cast<std::size_t>(program)];
    if (!id.valid()) {
        throw InputError("cluster", fmt::format("a rank of pipeline rank {} has no {} left, but "
                                                "must communicate over one",
                                                program, what));
    }
    return id;
}

}  // namespace

EndpointId LaneNetwork::nic(std::int32_t program) const { return existing(nics_, program, "NIC"); }

EndpointId LaneNetwork::nvlink(std::int32_t program) const {
    return existing(nvlinks_, program, "NVLink");
}

LaneNetwork::Path LaneNetwork::path(RankId from, RankId to) const {
    const Fabric& fabric = input_.fabric;
    Path path;
    if (from == to) {
        path.local = true;
        return path;
    }
    const int from_node = node_of(fabric, from);
    const int to_node = node_of(fabric, to);
    if (from_node == to_node) {
        path.over_nvlink = true;
        path.latency = input_.topology.nvlink.latency;
        return path;
    }
    const NicId a{from_node, nic_of(fabric, from).value_or(0)};
    const NicId b{to_node, nic_of(fabric, to).value_or(0)};
    const std::optional<Seconds> direct = nic_latency(fabric, a, b);
    // Between planes a message first goes to the GPU beside the right NIC.
    path.latency = direct.value_or(fabric.cross_leaf_latency + input_.topology.nvlink.latency);
    const double oversubscription = input_.topology.fabric.oversubscription;
    if (oversubscription > 1 && leaf_of(fabric, a) != leaf_of(fabric, b)) {
        path.rate_max = input_.topology.nic.achievable() / oversubscription;
    }
    return path;
}

LaneNetwork::Path LaneNetwork::path(std::int32_t from, std::int32_t to) const {
    const Instances& instances = input_.graph.instances();
    Path worst = path(instances.rank(from, 0), instances.rank(to, 0));
    for (std::int32_t replica = 1; replica < instances.data_parallel; ++replica) {
        const Path other = path(instances.rank(from, replica), instances.rank(to, replica));
        worst.over_nvlink = worst.over_nvlink && other.over_nvlink;
        worst.latency = std::max(worst.latency, other.latency);
        if (other.rate_max.value() > 0) {
            worst.rate_max = other.rate_max;
        }
    }
    return worst;
}

Activity expert_exchange_activity(const LoweringInput& input, const LaneNetwork& network,
                                  const Op& op, std::int32_t program, bool overlapped) {
    const CommOp& comm = *op.comm();
    ExpertExchangeCall exchange;
    exchange.collective = comm.collective;
    exchange.token_bytes = Bytes(comm.payload_bytes.constant);
    exchange.tokens = comm.tokens;
    exchange.group = expert_group_shape(input.graph, input.topology);
    exchange.traffic = input.traffic;
    exchange.sms = input.comm_sms;
    exchange.overlapped = overlapped;
    exchange.backward = op.phase != Phase::forward;
    Activity activity;
    if (exchange.group.ranks == 1) {
        return activity;  // every expert is local
    }
    // The measured rate belongs to whole links: a degraded one slows the kernels as much.
    const bool crosses = exchange.group.nodes() > 1;
    const BytesPerSecond whole =
        crosses ? input.topology.nic.achievable() : input.topology.nvlink.achievable();
    const EngineNetwork::Endpoint& port =
        network.endpoints()
            .endpoints[(crosses ? network.nic(program) : network.nvlink(program)).index()];
    const Seconds shortest = input.cost.expert_exchange(exchange) * (whole / port.up);
    const Bytes token = (exchange.token_bytes + Bytes(comm.metadata_bytes.constant)) *
                        static_cast<double>(comm.tokens);
    const std::int64_t peers = exchange.group.ranks_per_node - 1;
    const std::int64_t nodes = exchange.group.nodes() - 1;
    activity.delay = input.topology.nvlink.latency;
    if (nodes > 0) {
        const Bytes each = token * input.traffic.ib_copies_per_token / static_cast<double>(nodes);
        activity.flows.push_back({network.nic(program), network.nic(program), each,
                                  static_cast<int>(nodes), each / shortest});
        // A token stays on its rail. The group's nodes follow each other: the first rank and its
        // like on the last node are the farthest apart.
        const Instances& instances = input.graph.instances();
        const std::int64_t last = exchange.group.ranks - exchange.group.ranks_per_node;
        activity.delay += network
                              .path(instances.rank(program, 0),
                                    instances.rank(program, static_cast<std::int32_t>(last)))
                              .latency;
    }
    if (peers > 0) {
        const Bytes each =
            token * input.traffic.nvlink_copies_per_token / static_cast<double>(peers);
        activity.flows.push_back({network.nvlink(program), network.nvlink(program), each,
                                  static_cast<int>(peers), each / shortest});
    }
    return activity;
}

void add_collective_flows(const LoweringInput& input, const LaneNetwork& network,
                          const CommOp& comm, std::int32_t stage, std::int32_t program,
                          Activity& activity) {
    const RankId rank = input.graph.instances().rank(program, 0);
    const std::vector<RankId> members = input.graph.group(comm.group, rank, stage);
    const auto size = static_cast<std::int64_t>(members.size());
    if (size < 2) {
        return;
    }
    std::int64_t on_node = 0;
    LaneNetwork::Path farthest;
    for (const RankId member : members) {
        on_node += node_of(input.fabric, member) == node_of(input.fabric, rank);
        const LaneNetwork::Path path = network.path(rank, member);
        farthest.latency = std::max(farthest.latency, path.latency);
        if (path.rate_max.value() > 0) {
            farthest.rate_max = path.rate_max;
        }
    }
    // Ring over all members, one channel for each NIC of the node: a rank passes on (n-1)/n of the
    // buffer, of which one hop in `on_node` leaves the node.
    const double passes = comm.collective == Collective::all_reduce ? 2 : 1;
    const Bytes volume(comm.payload_bytes.constant * passes * all_but_one(size));
    const bool leaves_node = on_node < size;
    const double outside = leaves_node ? 1.0 / static_cast<double>(on_node) : 0;
    if (leaves_node) {
        activity.flows.push_back(
            {network.nic(program), network.nic(program), volume * outside, 1, farthest.rate_max});
    }
    if (on_node > 1) {
        activity.flows.push_back({network.nvlink(program), network.nvlink(program),
                                  volume * (1 - outside), 1, BytesPerSecond(0)});
    }
    // Small messages go along trees.
    const double steps = passes * std::ceil(std::log2(static_cast<double>(size)));
    activity.delay = std::max(activity.delay, farthest.latency * steps);
}

}  // namespace r1
