#include "sim/hardware/import/infragraph_fabric.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "model/base/index.hpp"

namespace r1 {
namespace {

class FabricFinder {
public:
    FabricFinder(const Document& document, const InfraTree& root, const InfraWiring& wiring,
                 const std::vector<std::vector<int>>& nics, Diagnostics& diagnostics)
        : document_(document),
          root_(root),
          wiring_(wiring),
          nics_(nics),
          diagnostics_(diagnostics),
          leaves_(wiring.leaves()) {}

    InfraFabric run() {
        const InfraTrunk& nic = wire(0, 0).trunk;
        fabric_.pointer = nic.edge->pointer;
        if (nic.latency_us) fabric_.same_leaf_us = 2 * *nic.latency_us;
        if (!merged_nics_agree() || !sort_trunks()) return fabric_;
        if (uplinks_.empty()) {
            without_spines();
        } else if (leaves_are_alike()) {
            const InfraTrunk& up = uplinks_.begin()->second.begin()->second;
            if (nic.latency_us && up.latency_us) {
                fabric_.cross_leaf_us = 2 * (*nic.latency_us + *up.latency_us);
            }
            with_spines();
        }
        return fabric_;
    }

private:
    bool refuse(const std::string& pointer, std::string message) {
        diagnostics_.error(document_.diagnostic(pointer, std::move(message)));
        return false;
    }
    [[nodiscard]] int hosts() const { return static_cast<int>(wiring_.hosts.size()); }
    [[nodiscard]] int nics_per_host() const { return static_cast<int>(nics_.size()); }
    [[nodiscard]] const InfraWire& wire(int host, int nic) const {
        return wiring_.wires[at(host)][at(nics_[at(nic)].front())];
    }
    [[nodiscard]] int leaf(int host, int nic) const { return wire(host, nic).leaf; }

    bool merged_nics_agree() {
        for (int host = 0; host < hosts(); ++host) {
            for (int nic = 0; nic < nics_per_host(); ++nic) {
                for (const int part : nics_[at(nic)]) {
                    const InfraWire& other = wiring_.wires[at(host)][at(part)];
                    if (other.leaf == leaf(host, nic)) continue;
                    return refuse(other.trunk.edge->pointer,
                                  fmt::format("NICs {} and {} of {} lie beside one accelerator, "
                                              "but on two switches: a topology has one NIC there",
                                              nics_[at(nic)].front(), part,
                                              root_.name(wiring_.hosts[at(host)])));
                }
            }
        }
        return true;
    }

    // Links between switches must be between a leaf (that NICs are on) and a spine (that none is).
    bool sort_trunks() {
        for (const auto& [ends, trunk] : wiring_.trunks) {
            const bool first_is_leaf = leaves_.count(ends.first) > 0;
            if (first_is_leaf == (leaves_.count(ends.second) > 0)) {
                return refuse(trunk.edge->pointer,
                              fmt::format("joins {} and {}, {}: a topology has two layers of "
                                          "switches, with NICs on the lower one",
                                          root_.name(ends.first), root_.name(ends.second),
                                          first_is_leaf ? "both with NICs" : "neither with NICs"));
            }
            const int leaf = first_is_leaf ? ends.first : ends.second;
            uplinks_[leaf][first_is_leaf ? ends.second : ends.first] = trunk;
        }
        return true;
    }

    // Without links between switches: one for all, or one for each plane.
    void without_spines() {
        if (leaves_.size() == 1) {
            fabric_.kind = FabricKind::single_switch;
            fabric_.what = "every NIC is on " + root_.name(*leaves_.begin());
            fabric_.switch_ports =
                std::max(wiring_.ports.at(*leaves_.begin()), hosts() * nics_per_host());
            return;
        }
        for (int host = 0; host < hosts(); ++host) {
            for (int nic = 0; nic < nics_per_host(); ++nic) {
                if (leaf(host, nic) == leaf(0, nic)) continue;
                refuse(
                    wire(host, nic).trunk.edge->pointer,
                    fmt::format("NIC {} of {} is on {}, that of {} on {}, and nothing joins "
                                "these switches",
                                nic, root_.name(wiring_.hosts[0]), root_.name(leaf(0, nic)),
                                root_.name(wiring_.hosts[at(host)]), root_.name(leaf(host, nic))));
                return;
            }
        }
        if (static_cast<int>(leaves_.size()) != nics_per_host()) {
            refuse(fabric_.pointer, fmt::format("{} switches that nothing joins for {} NICs of a "
                                                "host: a topology has a plane for each",
                                                leaves_.size(), nics_per_host()));
            return;
        }
        fabric_.kind = FabricKind::mpft;
        fabric_.what = "NIC i of every host is on the same switch, which nothing joins with others";
        fabric_.switch_ports = std::max(wiring_.ports.at(*leaves_.begin()), 2 * hosts());
    }

    bool leaves_are_alike() {
        const auto& first = uplinks_.begin()->second;
        const InfraTrunk& trunk = first.begin()->second;
        for (const int leaf : leaves_) {
            const auto found = uplinks_.find(leaf);
            const bool is_alike =
                found != uplinks_.end() && found->second.size() == first.size() &&
                std::all_of(found->second.begin(), found->second.end(), [&](const auto& up) {
                    return up.second.links == trunk.links && up.second.gb_per_s == trunk.gb_per_s &&
                           up.second.latency_us == trunk.latency_us;
                });
            if (is_alike) continue;
            return refuse(trunk.edge->pointer,
                          fmt::format("{} and {} are not joined to spines alike: a topology has "
                                      "one kind of leaf",
                                      root_.name(uplinks_.begin()->first), root_.name(leaf)));
        }
        return true;
    }

    [[nodiscard]] std::vector<int> spines(int leaf) const {
        std::vector<int> found;
        for (const auto& [spine, trunk] : uplinks_.at(leaf)) found.push_back(spine);
        return found;
    }

    void with_spines() {
        const std::vector<int> of_first = spines(*leaves_.begin());
        const bool share_spines = std::all_of(leaves_.begin(), leaves_.end(),
                                              [&](int leaf) { return spines(leaf) == of_first; });
        bool is_leaf_of_host = true;
        for (int host = 0; host < hosts(); ++host) {
            for (int nic = 0; nic < nics_per_host(); ++nic) {
                is_leaf_of_host = is_leaf_of_host && leaf(host, nic) == leaf(host, 0);
            }
        }
        if (is_leaf_of_host && nics_per_host() > 1 && share_spines) {
            as_one_switch();
        } else {
            as_trees(share_spines);
        }
    }

    // All NICs of a host on one leaf: no topology of ours has that, but leaves that pass on all
    // that their NICs send are, for bandwidth, one switch.
    void as_one_switch() {
        const std::optional<double> down = wire(0, 0).trunk.gb_per_s;
        const std::optional<double> up = uplink_gb_per_s();
        std::map<int, int> nics_on;
        for (int host = 0; host < hosts(); ++host) nics_on[leaf(host, 0)] += nics_per_host();
        int most = 0;
        for (const auto& [leaf, nics] : nics_on) most = std::max(most, nics);
        const std::string layout =
            fmt::format("all NICs of a host are on one leaf, of {} leaves under {} spines",
                        leaves_.size(), spines(*leaves_.begin()).size());
        if (leaves_.size() > 1 && (!up || !down || *up < *down * most * (1 - 1e-9))) {
            refuse(fabric_.pointer,
                   layout +
                       (up && down ? fmt::format(", whose {:g} GB/s to spines are less than "
                                                 "the {:g} of their NICs",
                                                 *up, *down * most)
                                   : ", whose bandwidths are not all given") +
                       ": a topology has leaves of one rail or plane each");
            return;
        }
        fabric_.kind = FabricKind::single_switch;
        fabric_.what = layout + ", which pass on all that NICs send: as one switch";
        fabric_.warning = layout +
                          "; they pass on all that NICs send, so they are taken as one "
                          "switch of the latency between leaves";
        fabric_.switch_ports = hosts() * nics_per_host();
        fabric_.is_leaves_as_switch = leaves_.size() > 1;
        if (fabric_.is_leaves_as_switch) fabric_.same_leaf_us = fabric_.cross_leaf_us;
    }

    [[nodiscard]] std::optional<double> uplink_gb_per_s() const {
        const auto& first = uplinks_.begin()->second;
        const std::optional<double> each = first.begin()->second.gb_per_s;
        return each ? std::optional(*each * static_cast<double>(first.size())) : std::nullopt;
    }

    // Leaves of one NIC index each: rails under common spines, or planes with spines of their own.
    void as_trees(bool share_spines) {
        const int per_leaf = static_cast<int>(std::count_if(
            wiring_.wires.begin(), wiring_.wires.end(),
            [&](const auto& wires) { return wires[at(nics_[0].front())].leaf == leaf(0, 0); }));
        if (!is_in_blocks(per_leaf)) return;
        const bool is_planes = nics_per_host() == 1 || !share_spines;
        if (is_planes && !planes_are_apart()) return;
        const int blocks = (hosts() + per_leaf - 1) / per_leaf;
        const int leaves = is_planes ? blocks : blocks * nics_per_host();
        const int ports = blocks == 1 ? 2 * std::max(hosts(), leaves) : 2 * per_leaf;
        if (leaves > ports) {
            refuse(fabric_.pointer,
                   fmt::format("{} leaves of {} hosts each: a topology's switches have as many "
                               "ports in both layers, and spines of {} ports join {} leaves",
                               leaves, per_leaf, ports, ports));
            return;
        }
        fabric_.kind = is_planes ? FabricKind::mpft : FabricKind::mrft;
        fabric_.what = fmt::format("leaves of {} hosts and one NIC each, {}", per_leaf,
                                   is_planes ? "spines for each NIC" : "common spines");
        fabric_.switch_ports = ports;
        set_oversubscription(ports / 2);
    }

    // A topology's leaves are filled with hosts in their order, each NIC index apart.
    bool is_in_blocks(int per_leaf) {
        std::map<int, std::pair<int, int>> first;  // leaf -> (block, NIC index)
        for (int host = 0; host < hosts(); ++host) {
            for (int nic = 0; nic < nics_per_host(); ++nic) {
                const std::pair<int, int> place(host / per_leaf, nic);
                const auto [found, is_new] = first.emplace(leaf(host, nic), place);
                if (found->second == place &&
                    leaf(host, nic) == leaf(host / per_leaf * per_leaf, nic)) {
                    continue;
                }
                return refuse(wire(host, nic).trunk.edge->pointer,
                              fmt::format("NIC {} of {} is on {}: a topology's leaves hold one NIC "
                                          "index each, of {} hosts in a row",
                                          nic, root_.name(wiring_.hosts[at(host)]),
                                          root_.name(leaf(host, nic)), per_leaf));
            }
        }
        return true;
    }

    bool planes_are_apart() {
        std::map<int, int> plane_of;  // spine -> NIC index
        for (int host = 0; host < hosts(); ++host) {
            for (int nic = 0; nic < nics_per_host(); ++nic) {
                if (spines(leaf(host, nic)) != spines(leaf(0, nic))) {
                    return refuse(
                        fabric_.pointer,
                        fmt::format("{} and {} have different spines: a topology's "
                                    "spines join all leaves of a plane",
                                    root_.name(leaf(0, nic)), root_.name(leaf(host, nic))));
                }
                for (const int spine : spines(leaf(host, nic))) {
                    if (plane_of.emplace(spine, nic).first->second == nic) continue;
                    return refuse(fabric_.pointer, root_.name(spine) +
                                                       " joins some NIC indices and not all: a "
                                                       "topology's spines serve one or all");
                }
            }
        }
        return true;
    }

    void set_oversubscription(int down) {
        const std::optional<double> nic = wire(0, 0).trunk.gb_per_s;
        const std::optional<double> up = uplink_gb_per_s();
        if (!nic || !up) {
            fabric_.open_oversubscription =
                "bandwidths of the links to leaves and spines are not "
                "all in the file; 1 if spines carry all";
            return;
        }
        const double uplinks = *up / *nic;  // of a NIC's bandwidth, as a topology has them
        if (uplinks >= down) {
            fabric_.oversubscription = 1;
        } else if (uplinks < 1 || std::fabs(uplinks - std::round(uplinks)) > 1e-9) {
            fabric_.open_oversubscription = fmt::format(
                "a leaf's links to spines carry {:.4g} times what a NIC does: a topology has whole "
                "numbers",
                uplinks);
        } else {
            double ratio = down / std::round(uplinks);
            if (down / ratio < std::round(uplinks)) ratio = std::nextafter(ratio, 0);
            fabric_.oversubscription = ratio;
        }
    }

    const Document& document_;
    const InfraTree& root_;
    const InfraWiring& wiring_;
    const std::vector<std::vector<int>>& nics_;
    Diagnostics& diagnostics_;
    std::set<int> leaves_;
    std::map<int, std::map<int, InfraTrunk>> uplinks_;  // leaf -> spine -> links
    InfraFabric fabric_;
};

}  // namespace

InfraFabric find_fabric(const Document& document, const InfraTree& root, const InfraWiring& wiring,
                        const std::vector<std::vector<int>>& nics, Diagnostics& diagnostics) {
    return FabricFinder(document, root, wiring, nics, diagnostics).run();
}

}  // namespace r1
