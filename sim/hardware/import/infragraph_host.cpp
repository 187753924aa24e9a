#include "sim/hardware/import/infragraph_host.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "model/base/index.hpp"

namespace r1 {
namespace {

constexpr int kUnreachable = 1 << 20;

bool has_kind_below(const InfraTree& tree, int node, InfraKind kind) {
    for (int i = node + 1; i < tree.nodes[at(node)].end; ++i) {
        if (tree.kind(i) == kind) return true;
    }
    return false;
}

// A component that is a NIC, or a device inside that has ports and neither accelerators, NICs nor
// switches: the file describes its NICs one level deeper.
bool is_nic(const InfraTree& tree, int node) {
    if (tree.kind(node) != InfraKind::device) return tree.kind(node) == InfraKind::nic;
    return node > 0 && has_kind_below(tree, node, InfraKind::port) &&
           !has_kind_below(tree, node, InfraKind::nic) &&
           !has_kind_below(tree, node, InfraKind::xpu) &&
           !has_kind_below(tree, node, InfraKind::network_switch);
}

void find_parts(const InfraTree& tree, InfraHost& host) {
    host.nic_of_node.assign(tree.nodes.size(), -1);
    for (int node = 1; node < static_cast<int>(tree.nodes.size()); ++node) {
        if (tree.kind(node) == InfraKind::xpu) host.xpus.push_back(node);
        if (host.nic_of_node[at(node)] >= 0 || !is_nic(tree, node)) continue;
        const int nic = static_cast<int>(host.nics.size());
        host.nics.push_back({node, tree.name(node)});
        for (int i = node; i < std::max(node + 1, tree.nodes[at(node)].end); ++i) {
            host.nic_of_node[at(i)] = nic;
        }
    }
    // A port beside a NIC is a port of it.
    for (const InfraJoin& join : tree.joins) {
        for (const auto& [port, nic] : {std::pair(join.a, join.b), std::pair(join.b, join.a)}) {
            if (tree.kind(port) == InfraKind::port && host.nic_of_node[at(port)] < 0 &&
                tree.kind(nic) != InfraKind::port) {
                host.nic_of_node[at(port)] = host.nic_of_node[at(nic)];
            }
        }
    }
}

// Links that join accelerators with each other or with switches, and nothing else: PCI Express
// reaches CPUs or NICs as well.
std::vector<const InfraLink*> scale_up_links(const InfraTree& tree) {
    std::vector<const InfraLink*> links;
    std::set<const InfraLink*> others;
    for (const InfraJoin& join : tree.joins) {
        const InfraKind a = tree.kind(join.a);
        const InfraKind b = tree.kind(join.b);
        const bool is_scale_up =
            (a == InfraKind::xpu && (b == InfraKind::xpu || b == InfraKind::network_switch)) ||
            (b == InfraKind::xpu && a == InfraKind::network_switch);
        if (!is_scale_up) {
            others.insert(join.link);
        } else if (std::find(links.begin(), links.end(), join.link) == links.end()) {
            links.push_back(join.link);
        }
    }
    std::erase_if(links, [&](const InfraLink* link) { return others.count(link) > 0; });
    return links;
}

InfraScaleUp find_scale_up(const InfraTree& tree, const std::vector<int>& xpus) {
    InfraScaleUp result;
    const std::vector<const InfraLink*> links = scale_up_links(tree);
    if (links.size() != 1) {
        result.why = links.empty() ? "no link joins accelerators only (NVLink, or what it is here)"
                                   : fmt::format(
                                         "{} links join accelerators only, a topology has "
                                         "one kind",
                                         links.size());
        return result;
    }
    std::map<std::pair<int, int>, int> between;  // (accelerator, what it is joined to) -> links
    std::set<int> switches;
    for (const InfraJoin& join : tree.joins) {
        if (join.link != links.front()) continue;
        for (const auto& [from, to] : {std::pair(join.a, join.b), std::pair(join.b, join.a)}) {
            if (tree.kind(from) == InfraKind::xpu) ++between[{from, to}];
            if (tree.kind(from) == InfraKind::network_switch) switches.insert(from);
        }
    }
    // Every pair of accelerators has the same rate: all switches or all peers, the same number of
    // links to each, and not a mixture of both.
    std::set<int> ends = switches;
    if (switches.empty()) ends.insert(xpus.begin(), xpus.end());
    const int each = between.begin()->second;
    std::size_t wanted = 0;
    for (const int xpu : xpus) {
        for (const int end : ends) {
            if (end == xpu) continue;
            ++wanted;
            const auto found = between.find({xpu, end});
            if (found == between.end() || found->second != each) {
                result.why =
                    fmt::format("link {} does not join {} and {} as it joins others",
                                quote(links.front()->name), tree.name(xpu), tree.name(end));
                return result;
            }
        }
    }
    if (between.size() != wanted) {
        result.why = fmt::format("link {} joins accelerators with switches and with each other",
                                 quote(links.front()->name));
        return result;
    }
    result.link = links.front();
    result.links = each * static_cast<int>(ends.size() - (switches.empty() ? 1 : 0));
    result.switches = static_cast<int>(switches.size());
    return result;
}

// Links on the shortest way from an accelerator to every node, not by way of other accelerators.
std::vector<int> distances(const InfraTree& tree, const std::vector<std::vector<int>>& neighbours,
                           int from) {
    std::vector<int> distance(tree.nodes.size(), kUnreachable);
    std::vector<int> queue{from};
    distance[at(from)] = 0;
    for (std::size_t i = 0; i < queue.size(); ++i) {
        const int here = queue[i];
        if (here != from && tree.kind(here) == InfraKind::xpu) continue;
        for (const int next : neighbours[at(here)]) {
            if (distance[at(next)] != kUnreachable) continue;
            distance[at(next)] = distance[at(here)] + 1;
            queue.push_back(next);
        }
    }
    return distance;
}

void measure_closeness(const InfraTree& tree, InfraHost& host) {
    std::vector<std::vector<int>> neighbours(tree.nodes.size());
    for (const InfraJoin& join : tree.joins) {
        if (host.scale_up.link != nullptr && join.link == host.scale_up.link) continue;
        neighbours[at(join.a)].push_back(join.b);
        neighbours[at(join.b)].push_back(join.a);
    }
    for (const int xpu : host.xpus) {
        const std::vector<int> distance = distances(tree, neighbours, xpu);
        std::vector<int>& close = host.closeness.emplace_back(host.nics.size(), -kUnreachable);
        for (std::size_t node = 0; node < tree.nodes.size(); ++node) {
            const int nic = host.nic_of_node[node];
            if (nic >= 0) close[at(nic)] = std::max(close[at(nic)], -distance[node]);
        }
    }
}

}  // namespace

InfraHost analyse_host(const InfraTree& tree) {
    InfraHost host;
    find_parts(tree, host);
    host.scale_up = find_scale_up(tree, host.xpus);
    measure_closeness(tree, host);
    return host;
}

}  // namespace r1
