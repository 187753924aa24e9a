// The network: a plane of an mpft, the rails of an mrft, or the one switch of all NICs.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tools/report/topology_svg_parts.hpp"

#include "model/base/index.hpp"

namespace r1 {
namespace {

// Switches of one plane, or of all with -1, by tier; leaves by rail.
Tree tree_of(const Fabric& plain, int plane) {
    Tree tree;
    for (std::size_t i = 0; i < plain.switches.size(); ++i) {
        const Switch& item = plain.switches[i];
        if (plane >= 0 && item.plane != plane) continue;
        if (item.tier == SwitchTier::spine) {
            tree.spines.push_back(static_cast<int>(i));
            continue;
        }
        const int group = plane >= 0 ? 0 : std::max(item.plane, 0);
        if (at(group) >= tree.groups.size()) tree.groups.resize(at(group) + 1);
        tree.groups[at(group)].push_back(static_cast<int>(i));
    }
    return tree;
}

// How generate_fabric() deals the uplinks of a leaf.
std::string dealt_text(const TreeShape& shape) {
    const int each = shape.up / shape.spines;
    if (shape.up % shape.spines == 0) return fmt::format("{} to each spine", each);
    if (each == 0) return fmt::format("to {} of the {} spines", shape.up, shape.spines);
    return fmt::format("{} or {} to each spine", each, each + 1);
}

std::string switches_text(int count, std::string_view tier) {
    return fmt::format("{} {} switch{}", count, tier, count == 1 ? "" : "es");
}

// Beside the rows of a tree. `leaves` is the heading of the leaves, `nics` that of the NICs.
double draw_tree_notes(SvgCanvas& canvas, const Topology& topology, const TreeRows& rows,
                       const std::string& leaves, const std::string& nics) {
    const TreeShape shape = tree_shape(topology);
    const FabricSpec& fabric = topology.fabric;
    Notes notes(canvas, rows.spines - 4);
    std::string latency = us_text(fabric.same_leaf_latency) + " within a leaf";
    if (shape.spines > 0) {
        latency += ", " + us_text(fabric.cross_leaf_latency) + " across leaves";
        notes.block(rows.spines - 4, switches_text(shape.spines, "spine"),
                    {fmt::format("{} ports each", fabric.switch_ports)});
        notes.block(rows.uplinks + 8,
                    fmt::format("{} uplink{} of each leaf", shape.up, shape.up == 1 ? "" : "s"),
                    {dealt_text(shape),
                     fmt::format("{} GB/s each, {} achievable", gb_text(topology.nic.bandwidth),
                                 gb_text(topology.nic.achievable())),
                     fmt::format("oversubscription {}: {} down, {} up",
                                 number_text(fabric.oversubscription), shape.down, shape.up)});
    }
    notes.block(rows.leaves - 4, leaves,
                {fmt::format("{} ports, {} of them for NICs", fabric.switch_ports, shape.down)});
    notes.block(rows.nics + 16, nics, {latency});
    return notes.bottom();
}

}  // namespace

double draw_plane(SvgCanvas& canvas, const TopologyView& view, const Kind& kind, double y) {
    const int plane = kind.members.front();
    const int count = static_cast<int>(kind.members.size());
    SvgCanvas content;
    const TreeRows rows = draw_tree(content, view, tree_of(view.plain, plane), y + kPanelHead);
    const double notes = draw_tree_notes(content, view.topology, rows,
                                         switches_text(tree_shape(view.topology).leaves, "leaf"),
                                         fmt::format("NIC {} of every node", plane));
    PanelFrame frame;
    frame.several = count > 1;
    const std::string what = kind.differs ? "Overridden plane" : "Plane";
    frame.heading =
        count > 1 ? fmt::format("{} × {} planes", what, count) : fmt::format("{} {}", what, plane);
    if (count > 1) {
        frame.remark = fmt::format("planes {}{}; plane {} is drawn; ", ranges_text(kind.members),
                                   kind.differs ? "" : " are alike", plane);
    }
    frame.remark += "planes meet only through the NVLink of a node";
    return draw_panel(canvas, frame, content, y, std::max(rows.bottom, notes));
}

double draw_rails(SvgCanvas& canvas, const TopologyView& view, double y) {
    const int rails = view.plain.nics_per_node;
    SvgCanvas content;
    const TreeRows rows = draw_tree(content, view, tree_of(view.plain, -1), y + kPanelHead);
    const double notes = draw_tree_notes(
        content, view.topology, rows,
        switches_text(tree_shape(view.topology).leaves / rails, "leaf") + " in each rail",
        "NIC r of every node is on rail r");
    PanelFrame frame;
    frame.heading = fmt::format("Multi-rail fat tree of {} rail{}", rails, rails == 1 ? "" : "s");
    frame.remark = "a leaf switch serves one rail, a spine switch all of them";
    return draw_panel(canvas, frame, content, y, std::max(rows.bottom, notes));
}

double draw_single_switch(SvgCanvas& canvas, const TopologyView& view, double y) {
    const Topology& topology = view.topology;
    SvgCanvas content;
    const TreeRows rows = draw_tree(content, view, tree_of(view.plain, -1), y + kPanelHead);
    Notes notes(content, rows.leaves - 4);
    notes.block(rows.leaves - 4, "One ideal switch",
                {fmt::format("{} ports, {} of them for NICs", topology.fabric.switch_ports,
                             topology.nodes * topology.nic.per_node)});
    notes.block(rows.nics + 16, "Every NIC of every node",
                {us_text(topology.fabric.same_leaf_latency) + " from NIC to NIC"});
    PanelFrame frame;
    frame.heading = "Network";
    return draw_panel(canvas, frame, content, y, std::max(rows.bottom, notes.bottom()));
}

}  // namespace r1
