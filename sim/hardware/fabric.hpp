// Every switch and link of a cluster, generated from its short description, and what follows from
// them: paths, bisection, diameter. Kinds of links: a GPU to the NVSwitches of its node, a NIC to
// its leaf switch, a leaf switch to a spine switch.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/ids.hpp"
#include "sim/hardware/topology.hpp"

namespace r1 {

enum class SwitchTier { leaf, spine };

struct Switch {
    std::string name;  // "plane0.leaf3", "rail2.leaf0", "spine17"
    SwitchTier tier = SwitchTier::leaf;
    int plane = -1;  // plane or rail; -1: serves all of them
};

enum class LinkKind { nvlink, nic, leaf_spine };
std::string_view name(LinkKind kind);

// The NVSwitches of a node are one crossbar here: nobody has published a case where they limit.
enum class EndpointKind { gpu, nvlink_domain, nic, network_switch };

struct Endpoint {
    EndpointKind kind = EndpointKind::gpu;
    int index = -1;  // rank | node | node * nics_per_node + nic | index into switches
};

// One physical link, or `count` parallel ones between the same two ends.
struct Link {
    std::string name;  // "node3.gpu2.nvlink", "node3.nic5", "plane0.leaf3.spine1"
    LinkKind kind = LinkKind::nvlink;
    Endpoint from;
    Endpoint to;                       // towards the spine
    BytesPerSecond bandwidth;          // of one physical link: achievable, per direction
    BytesPerSecond bandwidth_nominal;  // the same, of the data sheet
    Seconds latency;                   // its share of the path latency
    int count = 1;

    [[nodiscard]] BytesPerSecond total() const { return bandwidth * count; }
};

// A NIC as (node, index within the node).
struct NicId {
    int node = 0;
    int nic = 0;
};

struct Fabric {
    FabricKind kind = FabricKind::none;
    int nodes = 0;
    int gpus_per_node = 0;
    int nics_per_node = 0;
    std::vector<int> affinity;     // [gpus_per_node]
    std::vector<Switch> switches;  // leaves, then spines, plane by plane
    std::vector<Link> links;       // links removed by an override are absent
    // Lookups; -1: no such link.
    std::vector<int> nvlink_of_gpu;  // [rank] index into links
    std::vector<int> link_of_nic;    // [node * nics_per_node + nic] index into links
    std::vector<int> leaf_of_nic;    // [node * nics_per_node + nic] index into switches
    std::vector<std::vector<int>> links_of_leaf;  // [switch] its leaf_spine links
    Seconds same_leaf_latency;
    Seconds cross_leaf_latency;
    PathChoice path_choice = PathChoice::adaptive;

    [[nodiscard]] int gpus() const { return nodes * gpus_per_node; }
};

// The topology must have passed read_topology(). A pure function: equal input, equal output.
Fabric generate_fabric(const Topology& topology);

RankId rank_of(const Fabric& fabric, int node, int local_rank);
int node_of(const Fabric& fabric, RankId rank);
int local_rank(const Fabric& fabric, RankId rank);
// The NIC of a GPU by affinity or, if that one is removed, the next of the node in ring order
// (reached over NVLink through the GPU beside it). Nothing if the node has no NIC left.
std::optional<int> nic_of(const Fabric& fabric, RankId rank);
// Index into switches; nothing if the NIC is removed or there is no network.
std::optional<int> leaf_of(const Fabric& fabric, NicId nic);

// Latency of the switched path (up to a spine and down again at most); nothing if there is none,
// as between two planes of an mpft.
std::optional<Seconds> nic_latency(const Fabric& fabric, NicId from, NicId to);

// The leaves of a transfer between two NICs that passes spines. Between planes it goes in the
// sender's, to the NIC from which NVLink takes it on.
struct Crossing {
    int up = 0;       // of the sender's NIC: index into switches
    int landing = 0;  // where it comes down
    int down = 0;     // of the receiver's NIC: another than `landing` only between planes
};
// Nothing if it stays below one leaf. Both NICs must be there.
std::optional<Crossing> crossing(const Fabric& fabric, NicId from, NicId to);

// The ways up from one leaf and down to another, a spine each, in their order.
struct SpinePair {
    int up = 0;    // index into links
    int down = 0;  // index into links
};
std::vector<SpinePair> ways_between(const Fabric& fabric, int from_leaf, int to_leaf);

// Largest flow from the first half of the nodes (rounded down) to the rest, NVLink excluded.
enum class Rates { achievable, nominal };
BytesPerSecond bisection(const Fabric& fabric, Rates rates = Rates::achievable);

// Planes or rails that a node is attached to.
int rails(const Fabric& fabric);

// Links on the shortest path between the two GPUs farthest from each other; a GPU reaches its own
// NIC for nothing and the NICs of its neighbours over NVLink. Nothing if some pair has no path.
// Paths are searched from the GPUs of the first and last node and of up to 64 nodes or leaves that
// overrides touch: all other nodes are alike.
std::optional<int> diameter_hops(const Topology& topology, const Fabric& fabric);

int count_switches(const Fabric& fabric, SwitchTier tier);

}  // namespace r1
