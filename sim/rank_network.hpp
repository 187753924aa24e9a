// What a rank has of the links of its GPU, and how two ranks, or those of a ring, reach each other.
#pragma once

#include <optional>
#include <vector>

#include "sim/hardware/fabric.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

// The part of its NIC that a rank has: all of it, unless a neighbour's NIC is removed. 0: none.
BytesPerSecond nic_share(const Fabric& fabric, RankId rank);
BytesPerSecond nvlink_share(const Fabric& fabric, RankId rank);

// Over NVLink if the ranks share a node, else from NIC to NIC; without trunks.
Route rank_route(const Fabric& fabric, const Topology& topology, RankId from, RankId to);

// Where what the NIC of a ring's member sends goes: to its like on the next node of the ring. The
// member itself if all are on one node.
RankId ring_successor(const Fabric& fabric, const std::vector<RankId>& members, std::size_t place);

// What a member does in a ring over all members, with one channel for each NIC of the node: of the
// `volume` that each passes on, one hop in as many as there are members on the node leaves it.
struct RingPart {
    std::optional<Bytes> nic;  // nothing: all members are on one node
    std::optional<Bytes> nvlink;
    Seconds delay;  // small messages go along trees, `passes` times
};
RingPart ring_part(const Fabric& fabric, const Topology& topology,
                   const std::vector<RankId>& members, RankId rank, Bytes volume, double passes);

}  // namespace r1
