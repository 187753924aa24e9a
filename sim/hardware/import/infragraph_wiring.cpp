#include "sim/hardware/import/infragraph_wiring.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/base/index.hpp"

namespace r1 {
namespace {

constexpr std::size_t kWiringProblemsMax = 20;  // one edge can stand for thousands of links

class WiringReader {
public:
    WiringReader(const Document& document, const InfraTree& root, const InfraHost& host,
                 Diagnostics& diagnostics)
        : document_(document), root_(root), host_(host), diagnostics_(diagnostics) {}

    InfraWiring run(std::vector<int> hosts) {
        for (std::size_t i = 0; i < hosts.size(); ++i) host_of_[hosts[i]] = static_cast<int>(i);
        wiring_.wires.assign(hosts.size(), std::vector<InfraWire>(host_.nics.size()));
        wiring_.hosts = std::move(hosts);
        for (const InfraJoin& join : root_.joins) {
            if (diagnostics_.errors().size() >= kWiringProblemsMax) break;
            add(join);
        }
        if (diagnostics_.ok()) compare_hosts();
        return std::move(wiring_);
    }

private:
    struct End {
        int host = -1;  // index into hosts
        int nic = -1;
        int network_switch = -1;  // node of the root's tree
    };

    void error(const InfraEdge& edge, std::string message) {
        diagnostics_.error(document_.diagnostic(edge.pointer, std::move(message)));
    }

    // Nothing (and an error) if it can be no end of a network link.
    std::optional<End> end(int node, const InfraEdge& edge) {
        End result;
        const int top = root_.top(node);
        if (const auto found = host_of_.find(top); found != host_of_.end()) {
            result.host = found->second;
            result.nic = host_.nic_of_node[at(node - top)];
            if (result.nic >= 0) return result;
            error(edge, root_.name(node) + (root_.kind(node) == InfraKind::xpu
                                                ? " is an accelerator: a topology joins those of a "
                                                  "node only, and nodes by their NICs"
                                                : " is no NIC: nodes are joined by their NICs"));
            return std::nullopt;
        }
        for (int i = top; i < root_.nodes[at(top)].end; ++i) {
            const InfraKind kind = root_.kind(i);
            if (kind != InfraKind::port && kind != InfraKind::network_switch) continue;
            result.network_switch = top;
            return result;
        }
        error(edge, root_.name(top) + " is neither a host (with xpu) nor a switch (with ports)");
        return std::nullopt;
    }

    void add(const InfraJoin& join) {
        const std::optional<End> a = end(join.a, *join.edge);
        const std::optional<End> b = end(join.b, *join.edge);
        if (!a || !b) return;
        if (a->host >= 0 && b->host >= 0) {
            error(*join.edge, fmt::format("joins {} and {} without a switch: a topology has none "
                                          "such",
                                          root_.name(join.a), root_.name(join.b)));
        } else if (a->host >= 0) {
            add_nic(*a, b->network_switch, join);
        } else if (b->host >= 0) {
            add_nic(*b, a->network_switch, join);
        } else {
            const auto pair = std::minmax(a->network_switch, b->network_switch);
            wiring_.trunks[{pair.first, pair.second}].add(join);
            count_ports(pair.first);
            count_ports(pair.second);
        }
    }

    void add_nic(const End& nic, int network_switch, const InfraJoin& join) {
        InfraWire& wire = wiring_.wires[at(nic.host)][at(nic.nic)];
        if (wire.leaf >= 0 && wire.leaf != network_switch) {
            error(*join.edge,
                  fmt::format("{}.{} is on {} and on {}: a topology has each NIC on "
                              "one switch",
                              root_.name(wiring_.hosts[at(nic.host)]), host_.nics[at(nic.nic)].name,
                              root_.name(wire.leaf), root_.name(network_switch)));
            return;
        }
        wire.leaf = network_switch;
        wire.trunk.add(join);
        count_ports(network_switch);
    }

    void count_ports(int network_switch) {
        const auto [entry, is_new] = wiring_.ports.emplace(network_switch, 0);
        if (!is_new) return;
        for (int i = network_switch; i < root_.nodes[at(network_switch)].end; ++i) {
            if (root_.kind(i) == InfraKind::port) ++entry->second;
        }
    }

    // A topology has one kind of node, wired in one way.
    void compare_hosts() {
        for (std::size_t h = 1; h < wiring_.hosts.size(); ++h) {
            for (std::size_t nic = 0; nic < host_.nics.size(); ++nic) {
                const InfraWire& first = wiring_.wires[0][nic];
                const InfraWire& other = wiring_.wires[h][nic];
                if ((first.leaf < 0) == (other.leaf < 0) &&
                    first.trunk.gb_per_s == other.trunk.gb_per_s &&
                    first.trunk.latency_us == other.trunk.latency_us) {
                    continue;
                }
                const InfraEdge* edge =
                    other.trunk.edge != nullptr ? other.trunk.edge : first.trunk.edge;
                error(*edge, fmt::format("{0}.{2} and {1}.{2} are not joined to the network alike: "
                                         "a topology has one kind of node",
                                         root_.name(wiring_.hosts[0]), root_.name(wiring_.hosts[h]),
                                         host_.nics[nic].name));
                return;
            }
        }
    }

    const Document& document_;
    const InfraTree& root_;
    const InfraHost& host_;
    Diagnostics& diagnostics_;
    std::map<int, int> host_of_;  // node of the root's tree -> index of the host
    InfraWiring wiring_;
};

}  // namespace

void InfraTrunk::add(const InfraJoin& join) {
    if (links++ == 0) {
        edge = join.edge;
        link = join.link;
        latency_us = join.link->latency_us;
    }
    if (gb_per_s)
        gb_per_s =
            join.link->gb_per_s ? std::optional(*gb_per_s + *join.link->gb_per_s) : std::nullopt;
}

std::set<int> InfraWiring::leaves() const {
    std::set<int> found;
    for (const std::vector<InfraWire>& host : wires) {
        for (const InfraWire& wire : host) {
            if (wire.leaf >= 0) found.insert(wire.leaf);
        }
    }
    return found;
}

InfraWiring read_wiring(const Document& document, const InfraTree& root, std::vector<int> hosts,
                        const InfraHost& host, Diagnostics& diagnostics) {
    return WiringReader(document, root, host, diagnostics).run(std::move(hosts));
}

}  // namespace r1
