#include "sim/rank_network.hpp"

#include <algorithm>
#include <cmath>

namespace r1 {

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

Route rank_route(const Fabric& fabric, const Topology& topology, RankId from, RankId to) {
    const int from_node = node_of(fabric, from);
    const int to_node = node_of(fabric, to);
    if (from_node == to_node) {
        return {true, topology.nvlink.latency, BytesPerSecond(0)};
    }
    const NicId a{from_node, nic_of(fabric, from).value_or(0)};
    const NicId b{to_node, nic_of(fabric, to).value_or(0)};
    const std::optional<Seconds> direct = nic_latency(fabric, a, b);
    Route route;
    // Between planes a message first goes to the GPU beside the right NIC.
    route.latency = direct.value_or(fabric.cross_leaf_latency + topology.nvlink.latency);
    return route;
}

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

RingPart ring_part(const Fabric& fabric, const Topology& topology,
                   const std::vector<RankId>& members, RankId rank, Bytes volume, double passes) {
    std::int64_t on_node = 0;
    Seconds farthest;
    for (const RankId member : members) {
        on_node += node_of(fabric, member) == node_of(fabric, rank);
        if (member != rank) {
            farthest = std::max(farthest, rank_route(fabric, topology, rank, member).latency);
        }
    }
    const auto size = static_cast<std::int64_t>(members.size());
    const bool leaves_node = on_node < size;
    const double outside = leaves_node ? 1.0 / static_cast<double>(on_node) : 0;
    RingPart part;
    if (leaves_node) {
        part.nic = volume * outside;
    }
    if (on_node > 1) {
        part.nvlink = volume * (1 - outside);
    }
    part.delay = farthest * (passes * std::ceil(std::log2(static_cast<double>(size))));
    return part;
}

}  // namespace r1
