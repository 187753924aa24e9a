#include "sim/hardware/fabric.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <unordered_map>

#include <fmt/format.h>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>

#include "model/base/check.hpp"
#include "model/base/index.hpp"

namespace r1 {
namespace {

int add_switch(Fabric& fabric, std::string name, SwitchTier tier, int plane) {
    fabric.switches.push_back(Switch{std::move(name), tier, plane});
    return static_cast<int>(fabric.switches.size()) - 1;
}

void add_nvlinks(const Topology& topology, Fabric& fabric) {
    if (topology.gpus_per_node < 2) return;
    for (int rank = 0; rank < topology.gpus(); ++rank) {
        const int node = rank / topology.gpus_per_node;
        Link link;
        link.name = fmt::format("node{}.gpu{}.nvlink", node, rank % topology.gpus_per_node);
        link.kind = LinkKind::nvlink;
        link.from = Endpoint{EndpointKind::gpu, rank};
        link.to = Endpoint{EndpointKind::nvlink_domain, node};
        link.bandwidth = topology.nvlink.achievable();
        link.bandwidth_nominal = topology.nvlink.bandwidth;
        link.latency = topology.nvlink.latency / 2;  // published GPU to GPU: two of these links
        fabric.links.push_back(std::move(link));
    }
}

// `leaf(node, nic)` says where a NIC is plugged in.
template <class LeafOf>
void add_nic_links(const Topology& topology, Fabric& fabric, LeafOf leaf) {
    for (int node = 0; node < topology.nodes; ++node) {
        for (int nic = 0; nic < topology.nic.per_node; ++nic) {
            const int id = node * topology.nic.per_node + nic;
            Link link;
            link.name = fmt::format("node{}.nic{}", node, nic);
            link.kind = LinkKind::nic;
            link.from = Endpoint{EndpointKind::nic, id};
            link.to = Endpoint{EndpointKind::network_switch, leaf(node, nic)};
            link.bandwidth = topology.nic.achievable();
            link.bandwidth_nominal = topology.nic.bandwidth;
            link.latency = topology.fabric.same_leaf_latency / 2;
            fabric.leaf_of_nic[at(id)] = link.to.index;
            fabric.links.push_back(std::move(link));
        }
    }
}

// Deals the uplinks of the leaves to the spines round robin, so that no spine gets more than its
// share of ports. Switch-to-switch links run at the rate of a NIC's.
void add_leaf_spine_links(const Topology& topology, Fabric& fabric, int first_leaf,
                          const TreeShape& shape, int first_spine) {
    if (shape.spines == 0) return;
    const Seconds latency =
        (topology.fabric.cross_leaf_latency - topology.fabric.same_leaf_latency) / 2;
    for (int leaf = 0; leaf < shape.leaves; ++leaf) {
        std::vector<int> parallel(at(shape.spines), 0);
        for (int i = 0; i < shape.up; ++i) {
            ++parallel[at((leaf * shape.up + i) % shape.spines)];
        }
        for (int spine = 0; spine < shape.spines; ++spine) {
            if (parallel[at(spine)] == 0) continue;
            Link link;
            link.name =
                fmt::format("{}.spine{}", fabric.switches[at(first_leaf + leaf)].name, spine);
            link.kind = LinkKind::leaf_spine;
            link.from = Endpoint{EndpointKind::network_switch, first_leaf + leaf};
            link.to = Endpoint{EndpointKind::network_switch, first_spine + spine};
            link.bandwidth = topology.nic.achievable();
            link.bandwidth_nominal = topology.nic.bandwidth;
            link.latency = latency;
            link.count = parallel[at(spine)];
            fabric.links.push_back(std::move(link));
        }
    }
}

void add_mpft(const Topology& topology, Fabric& fabric) {
    const TreeShape shape = tree_shape(topology);
    const int planes = topology.nic.per_node;
    const int switches_of_plane = shape.leaves + shape.spines;
    for (int plane = 0; plane < planes; ++plane) {
        for (int leaf = 0; leaf < shape.leaves; ++leaf) {
            add_switch(fabric, fmt::format("plane{}.leaf{}", plane, leaf), SwitchTier::leaf, plane);
        }
        for (int spine = 0; spine < shape.spines; ++spine) {
            add_switch(fabric, fmt::format("plane{}.spine{}", plane, spine), SwitchTier::spine,
                       plane);
        }
    }
    add_nic_links(topology, fabric,
                  [&](int node, int nic) { return nic * switches_of_plane + node / shape.down; });
    for (int plane = 0; plane < planes; ++plane) {
        const int first = plane * switches_of_plane;
        add_leaf_spine_links(topology, fabric, first, shape, first + shape.leaves);
    }
}

void add_mrft(const Topology& topology, Fabric& fabric) {
    const TreeShape shape = tree_shape(topology);
    const int rails = topology.nic.per_node;
    const int leaves_of_rail = shape.leaves / rails;
    for (int leaf = 0; leaf < shape.leaves; ++leaf) {
        add_switch(fabric,
                   fmt::format("rail{}.leaf{}", leaf / leaves_of_rail, leaf % leaves_of_rail),
                   SwitchTier::leaf, leaf / leaves_of_rail);
    }
    for (int spine = 0; spine < shape.spines; ++spine) {
        add_switch(fabric, fmt::format("spine{}", spine), SwitchTier::spine, -1);
    }
    add_nic_links(topology, fabric,
                  [&](int node, int nic) { return nic * leaves_of_rail + node / shape.down; });
    add_leaf_spine_links(topology, fabric, 0, shape, shape.leaves);
}

void add_network(const Topology& topology, Fabric& fabric) {
    fabric.leaf_of_nic.assign(at(topology.nodes * topology.nic.per_node), -1);
    switch (topology.fabric.kind) {
        case FabricKind::mpft: add_mpft(topology, fabric); break;
        case FabricKind::mrft: add_mrft(topology, fabric); break;
        case FabricKind::single_switch: {
            const int leaf = add_switch(fabric, "switch0", SwitchTier::leaf, -1);
            add_nic_links(topology, fabric, [&](int, int) { return leaf; });
            break;
        }
        case FabricKind::none: break;
    }
}

void apply_overrides(const Topology& topology, Fabric& fabric) {
    if (topology.overrides.empty()) return;
    std::unordered_map<std::string, Link*> by_name;
    for (Link& link : fabric.links) by_name.emplace(link.name, &link);
    for (const LinkOverride& item : topology.overrides) {
        const auto found = by_name.find(item.link);
        R1_CHECK(found != by_name.end());  // read_topology() refuses unknown names
        Link& link = *found->second;
        if (item.remove) link.count = 0;
        link.bandwidth = link.bandwidth * item.degrade;
        link.bandwidth_nominal = link.bandwidth_nominal * item.degrade;
    }
    std::erase_if(fabric.links, [](const Link& link) { return link.count == 0; });
}

void index_links(Fabric& fabric) {
    fabric.nvlink_of_gpu.assign(at(fabric.gpus()), -1);
    fabric.link_of_nic.assign(at(fabric.nodes * fabric.nics_per_node), -1);
    fabric.links_of_leaf.assign(fabric.switches.size(), {});
    for (std::size_t i = 0; i < fabric.links.size(); ++i) {
        const Link& link = fabric.links[i];
        const int index = static_cast<int>(i);
        switch (link.kind) {
            case LinkKind::nvlink: fabric.nvlink_of_gpu[at(link.from.index)] = index; break;
            case LinkKind::nic: fabric.link_of_nic[at(link.from.index)] = index; break;
            case LinkKind::leaf_spine: fabric.links_of_leaf[at(link.from.index)].push_back(index);
        }
    }
}

// ---- maximum flow ----

using FlowTraits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
// Whole bytes per second: with floating-point capacities push-relabel may not end.
using Capacity = std::int64_t;
using FlowGraph = boost::adjacency_list<
    boost::vecS, boost::vecS, boost::directedS, boost::no_property,
    boost::property<
        boost::edge_capacity_t, Capacity,
        boost::property<boost::edge_residual_capacity_t, Capacity,
                        boost::property<boost::edge_reverse_t, FlowTraits::edge_descriptor>>>>;

// One way. Boost's push-relabel takes edges without capacity, and no others, for ways back.
void add_edge(FlowGraph& graph, std::size_t from, std::size_t to, Capacity there) {
    auto capacity = boost::get(boost::edge_capacity, graph);
    auto reverse = boost::get(boost::edge_reverse, graph);
    const auto forward_edge = boost::add_edge(from, to, graph).first;
    const auto backward_edge = boost::add_edge(to, from, graph).first;
    capacity[forward_edge] = there;
    capacity[backward_edge] = 0;
    reverse[forward_edge] = backward_edge;
    reverse[backward_edge] = forward_edge;
}

Capacity capacity_of(const Link& link, Rates rates) {
    const BytesPerSecond rate = rates == Rates::nominal ? link.bandwidth_nominal : link.bandwidth;
    return static_cast<Capacity>(std::llround(rate.value() * link.count));
}

// ---- shortest paths ----

// Vertices: GPUs, NVLink domains, NICs, switches, in this order.
struct HopGraph {
    struct Edge {
        int to;
        int hops;
    };
    int domains = 0;
    int nics = 0;
    int switches = 0;
    std::vector<std::vector<Edge>> edges;

    explicit HopGraph(const Fabric& fabric)
        : domains(fabric.gpus()),
          nics(domains + fabric.nodes),
          switches(nics + fabric.nodes * fabric.nics_per_node),
          edges(at(switches) + fabric.switches.size()) {
        for (const Link& link : fabric.links) join(vertex(link.from), vertex(link.to), 1);
        for (int rank = 0; rank < fabric.gpus() && fabric.nics_per_node > 0; ++rank) {
            const int node = rank / fabric.gpus_per_node;
            const int nic = fabric.affinity[at(rank % fabric.gpus_per_node)];
            join(rank, nics + node * fabric.nics_per_node + nic, 0);
        }
    }

    void join(int a, int b, int hops) {
        edges[at(a)].push_back(Edge{b, hops});
        edges[at(b)].push_back(Edge{a, hops});
    }
    [[nodiscard]] int vertex(Endpoint end) const {
        const std::array<int, 4> first{0, domains, nics, switches};
        return first[static_cast<std::size_t>(end.kind)] + end.index;
    }
};

// Largest distance from one GPU to any other; -1 if one cannot be reached.
int eccentricity(const HopGraph& graph, int gpus, int from) {
    std::vector<int> distance(graph.edges.size(), -1);
    std::deque<std::pair<int, int>> open{{from, 0}};  // 0-1 breadth-first search
    while (!open.empty()) {
        const auto [vertex, hops] = open.front();
        open.pop_front();
        if (distance[at(vertex)] >= 0) continue;
        distance[at(vertex)] = hops;
        for (const HopGraph::Edge& edge : graph.edges[at(vertex)]) {
            if (distance[at(edge.to)] >= 0) continue;
            if (edge.hops == 0) {
                open.emplace_front(edge.to, hops);
            } else {
                open.emplace_back(edge.to, hops + edge.hops);
            }
        }
    }
    const auto [low, high] = std::minmax_element(distance.begin(), distance.begin() + gpus);
    return *low < 0 ? -1 : *high;
}

// One node for each kind of place in the fabric: the first, the last, and the nodes that an
// override names, itself or by a leaf that they hang on.
std::vector<int> telling_nodes(const Topology& topology, const Fabric& fabric) {
    constexpr std::size_t kNodesMax = 64;  // a search costs a pass over all links
    std::unordered_map<std::string, int> node_of_leaf;
    for (std::size_t id = 0; id < fabric.leaf_of_nic.size(); ++id) {
        node_of_leaf.emplace(fabric.switches[at(fabric.leaf_of_nic[id])].name,
                             static_cast<int>(id) / fabric.nics_per_node);
    }
    std::vector<int> nodes{0, fabric.nodes - 1};
    for (const LinkOverride& item : topology.overrides) {
        if (nodes.size() >= kNodesMax) break;
        if (item.link.rfind("node", 0) == 0) {
            nodes.push_back(std::stoi(item.link.substr(4)));
        } else {  // "<leaf>.spine<n>"
            nodes.push_back(node_of_leaf.at(item.link.substr(0, item.link.rfind('.'))));
        }
    }
    std::sort(nodes.begin(), nodes.end());
    nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    return nodes;
}

}  // namespace

std::string_view name(LinkKind kind) {
    switch (kind) {
        case LinkKind::nvlink: return "nvlink";
        case LinkKind::nic: return "nic";
        case LinkKind::leaf_spine: return "leaf_spine";
    }
    return "";
}

Fabric generate_fabric(const Topology& topology) {
    Fabric fabric;
    fabric.kind = topology.fabric.kind;
    fabric.nodes = topology.nodes;
    fabric.gpus_per_node = topology.gpus_per_node;
    fabric.nics_per_node = fabric.kind == FabricKind::none ? 0 : topology.nic.per_node;
    fabric.affinity = topology.nic.affinity;
    fabric.same_leaf_latency = topology.fabric.same_leaf_latency;
    fabric.cross_leaf_latency = topology.fabric.cross_leaf_latency;
    fabric.path_choice = topology.fabric.path_choice;
    add_nvlinks(topology, fabric);
    if (fabric.kind != FabricKind::none) add_network(topology, fabric);
    apply_overrides(topology, fabric);
    index_links(fabric);
    return fabric;
}

RankId rank_of(const Fabric& fabric, int node, int local_rank) {
    R1_CHECK(node >= 0 && node < fabric.nodes);
    R1_CHECK(local_rank >= 0 && local_rank < fabric.gpus_per_node);
    return RankId(at(node * fabric.gpus_per_node + local_rank));
}

int node_of(const Fabric& fabric, RankId rank) {
    return static_cast<int>(rank.value) / fabric.gpus_per_node;
}

int local_rank(const Fabric& fabric, RankId rank) {
    return static_cast<int>(rank.value) % fabric.gpus_per_node;
}

std::optional<int> nic_of(const Fabric& fabric, RankId rank) {
    const int first = node_of(fabric, rank) * fabric.nics_per_node;
    for (int step = 0; step < fabric.nics_per_node; ++step) {
        const int preferred = fabric.affinity[at(local_rank(fabric, rank))];
        const int nic = (preferred + step) % fabric.nics_per_node;
        if (fabric.link_of_nic[at(first + nic)] >= 0) return nic;
    }
    return std::nullopt;
}

std::optional<int> leaf_of(const Fabric& fabric, NicId nic) {
    if (fabric.nics_per_node == 0) return std::nullopt;
    R1_CHECK(nic.node >= 0 && nic.node < fabric.nodes);
    R1_CHECK(nic.nic >= 0 && nic.nic < fabric.nics_per_node);
    const std::size_t id = at(nic.node * fabric.nics_per_node + nic.nic);
    if (fabric.link_of_nic[id] < 0) return std::nullopt;
    return fabric.leaf_of_nic[id];
}

std::optional<Seconds> nic_latency(const Fabric& fabric, NicId from, NicId to) {
    const std::optional<int> from_leaf = leaf_of(fabric, from);
    const std::optional<int> to_leaf = leaf_of(fabric, to);
    if (!from_leaf || !to_leaf) return std::nullopt;
    if (*from_leaf == *to_leaf) return fabric.same_leaf_latency;
    if (ways_between(fabric, *from_leaf, *to_leaf).empty()) return std::nullopt;
    return fabric.cross_leaf_latency;
}

std::optional<Crossing> crossing(const Fabric& fabric, NicId from, NicId to) {
    const std::optional<int> up = leaf_of(fabric, from);
    const std::optional<int> down = leaf_of(fabric, to);
    R1_CHECK(up && down);
    Crossing leaves{*up, *down, *down};
    if (fabric.switches[at(*up)].plane != fabric.switches[at(*down)].plane &&
        fabric.kind == FabricKind::mpft) {
        leaves.landing = fabric.leaf_of_nic[at(to.node * fabric.nics_per_node + from.nic)];
    }
    if (leaves.landing == leaves.up) return std::nullopt;
    return leaves;
}

std::vector<SpinePair> ways_between(const Fabric& fabric, int from_leaf, int to_leaf) {
    std::vector<SpinePair> ways;
    const std::vector<int>& downs = fabric.links_of_leaf[at(to_leaf)];
    const auto spine = [&](int link) { return fabric.links[at(link)].to.index; };
    auto down = downs.begin();
    for (const int up : fabric.links_of_leaf[at(from_leaf)]) {  // both ascend by spine
        while (down != downs.end() && spine(*down) < spine(up)) ++down;
        if (down != downs.end() && spine(*down) == spine(up)) ways.push_back({up, *down});
    }
    return ways;
}

BytesPerSecond bisection(const Fabric& fabric, Rates rates) {
    const std::size_t count = fabric.switches.size();
    const int half = fabric.nodes / 2;
    if (half == 0 || count == 0) return {};
    // NVLink being excluded, a NIC is nothing but its link: all NICs of one half on one leaf
    // make a single edge, and the graph stays as small as the switches.
    std::vector<Capacity> first(count, 0);
    std::vector<Capacity> second(count, 0);
    FlowGraph graph(count + 2);
    for (const Link& link : fabric.links) {
        const Capacity capacity = capacity_of(link, rates);
        if (link.kind == LinkKind::nic) {
            const int node = link.from.index / fabric.nics_per_node;
            (node < half ? first : second)[at(link.to.index)] += capacity;
        } else if (link.kind == LinkKind::leaf_spine) {
            add_edge(graph, at(link.from.index), at(link.to.index), capacity);
            add_edge(graph, at(link.to.index), at(link.from.index), capacity);
        }
    }
    const std::size_t source = count;
    const std::size_t sink = count + 1;
    for (std::size_t i = 0; i < count; ++i) {
        if (first[i] > 0) add_edge(graph, source, i, first[i]);
        if (second[i] > 0) add_edge(graph, i, sink, second[i]);
    }
    return BytesPerSecond(static_cast<double>(boost::push_relabel_max_flow(graph, source, sink)));
}

int rails(const Fabric& fabric) {
    switch (fabric.kind) {
        case FabricKind::mpft:
        case FabricKind::mrft: return fabric.nics_per_node;
        case FabricKind::single_switch: return 1;
        case FabricKind::none: return 0;
    }
    return 0;
}

std::optional<int> diameter_hops(const Topology& topology, const Fabric& fabric) {
    const HopGraph graph(fabric);
    int diameter = 0;
    for (const int node : telling_nodes(topology, fabric)) {
        for (int local = 0; local < fabric.gpus_per_node; ++local) {
            const int from = node * fabric.gpus_per_node + local;
            const int farthest = eccentricity(graph, fabric.gpus(), from);
            if (farthest < 0) return std::nullopt;
            diameter = std::max(diameter, farthest);
        }
    }
    return diameter;
}

int count_switches(const Fabric& fabric, SwitchTier tier) {
    return static_cast<int>(std::count_if(fabric.switches.begin(), fabric.switches.end(),
                                          [&](const Switch& s) { return s.tier == tier; }));
}

}  // namespace r1
