#include "tools/report/topology_svg.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "tools/report/topology_svg_parts.hpp"

namespace r1 {
namespace {

constexpr std::size_t kKindsMax = 4;        // of nodes, of planes: drawn one by one
constexpr std::size_t kOverridesMax = 400;  // listed by name
constexpr double kListWidth = kPanelWidth / 2 - 24;

constexpr std::string_view kCss = R"(.paper{fill:#fff}
.panel{fill:#f6f8fa;stroke:#d0d7de}
.text{fill:#1f2328}
.faint{fill:#59636e}
.gpu{fill:#dff0dc;stroke:#4f9a5d}
.nvswitch{fill:#d8e6f7;stroke:#4878b0}
.nic{fill:#eee4f5;stroke:#9067a8}
.leaf{fill:#d5eff0;stroke:#2b8a97}
.spine{fill:#e2e0f6;stroke:#5d57b5}
.nodes{fill:#fff;stroke:#9aa4ae}
.gap{fill:none;stroke:#9aa4ae;stroke-dasharray:2 3}
.label{fill:#f6f8fa}
.link{stroke:#7d8792;stroke-width:1.2}
.beside{stroke:#b9c1c9;stroke-dasharray:1 3;stroke-width:1.5}
.bracket{stroke:#9aa4ae;stroke-width:2}
.degraded{stroke:#d98a00;stroke-width:2.5}
.removed{stroke:#d1242f;stroke-width:1.8;stroke-dasharray:5 4}
.degraded-text{fill:#8f5b00}
.removed-text{fill:#c01722}
)";

std::string_view fabric_text(FabricKind kind) {
    switch (kind) {
        case FabricKind::mpft: return "multi-plane fat tree (mpft)";
        case FabricKind::mrft: return "multi-rail fat tree (mrft)";
        case FabricKind::single_switch: return "single switch";
        case FabricKind::none: break;
    }
    return "no network";
}

double draw_title(SvgCanvas& canvas, const TopologyView& view) {
    const Topology& topology = view.topology;
    const double width = kSvgWidth - 2 * kSvgMargin;
    canvas.text({kSvgMargin, 36}, topology.name, kTitleText, Anchor::start, width);
    std::string line = fmt::format("{} node{} × {} {} = {} GPUs · {}", topology.nodes,
                                   topology.nodes == 1 ? "" : "s", topology.gpus_per_node,
                                   fitted(topology.device.name, kPlainText, width / 4),
                                   topology.gpus(), fabric_text(topology.fabric.kind));
    const Fabric& fabric = view.fabric;
    if (const int leaves = count_switches(fabric, SwitchTier::leaf); leaves > 0) {
        const int spines = count_switches(fabric, SwitchTier::spine);
        line += fmt::format(", {} switch{}", leaves + spines, leaves + spines == 1 ? "" : "es");
    }
    if (topology.nodes > 1) {
        line += fmt::format(" · bisection {} GB/s, {} achievable",
                            gb_text(bisection(fabric, Rates::nominal)), gb_text(bisection(fabric)));
    }
    canvas.text({kSvgMargin, 58}, line, kPlainText, Anchor::start, width);
    return 74;
}

// What is not drawn for want of room, as a line of text.
double draw_rest(SvgCanvas& canvas, std::size_t kinds, std::string_view what, double y) {
    if (kinds <= kKindsMax) return y;
    canvas.text({kNotesX, y + 4},
                fmt::format("… and {} more kinds of overridden {}", kinds - kKindsMax, what),
                kDegradedText, Anchor::start, kPanelWidth);
    return y + 24;
}

double draw_network(SvgCanvas& canvas, const TopologyView& view, double y) {
    switch (view.plain.kind) {
        case FabricKind::mpft: {
            const std::vector<Kind> planes = plane_kinds(view);
            for (std::size_t i = 0; i < std::min(planes.size(), kKindsMax); ++i) {
                y = draw_plane(canvas, view, planes[i], y);
            }
            return draw_rest(canvas, planes.size(), "planes", y);
        }
        case FabricKind::mrft: return draw_rails(canvas, view, y);
        case FabricKind::single_switch: return draw_single_switch(canvas, view, y);
        case FabricKind::none: break;
    }
    return y;
}

struct LegendEntry {
    std::string_view css;
    std::string text;
    bool line = false;
};

std::vector<LegendEntry> legend_entries(const TopologyView& view) {
    std::vector<LegendEntry> entries{{"gpu", "GPU"}};
    if (view.plain.gpus_per_node > 1) entries.push_back({"nvswitch", "NVLink domain"});
    if (view.plain.nics_per_node > 0) {
        entries.push_back({"nic", "NIC"});
        entries.push_back({"leaf", "leaf switch"});
        if (count_switches(view.plain, SwitchTier::spine) > 0) {
            entries.push_back({"spine", "spine switch"});
        }
        entries.push_back({"beside", "GPU beside its NIC", true});
    }
    entries.push_back({"link", "link", true});
    entries.push_back({"link degraded", "degraded link", true});
    entries.push_back({"link removed", "removed link", true});
    entries.push_back({"gap", "several, not drawn"});
    return entries;
}

double draw_colours(SvgCanvas& canvas, const TopologyView& view, double y) {
    double x = kNotesX;
    for (const LegendEntry& entry : legend_entries(view)) {
        if (entry.line) {
            canvas.line({x, y}, {x + 22, y}, entry.css);
        } else {
            canvas.box({x, y - 7, 22, 14}, entry.css, 3);
        }
        const double width = text_width(entry.text, kPlainText);
        canvas.text({x + 28, y + 4}, entry.text, kPlainText, Anchor::start, width);
        x += 28 + width + 16;
    }
    return y + 14;
}

// Every overridden link by name, in the order of the fabric, two a row.
double draw_overrides(SvgCanvas& canvas, const TopologyView& view, double y) {
    std::vector<int> links;
    for (std::size_t i = 0; i < view.plain.links.size(); ++i) {
        if (view.override_of_link[i] >= 0) links.push_back(static_cast<int>(i));
    }
    if (links.empty()) return y;
    y += 18;
    canvas.text({kNotesX, y},
                fmt::format("{} link{} overridden, per direction:", links.size(),
                            links.size() == 1 ? "" : "s"),
                kBoldText, Anchor::start, kPanelWidth);
    const std::size_t shown = std::min(links.size(), kOverridesMax);
    for (std::size_t i = 0; i < shown; ++i) {
        const bool left = i % 2 == 0;
        if (left) y += kLineHeight;
        canvas.text({kNotesX + (left ? 0 : kPanelWidth / 2), y + 2}, override_long(view, links[i]),
                    link_text(view.state(links[i])), Anchor::start, kListWidth);
    }
    y += 6;
    if (shown == links.size()) return y;
    canvas.text({kNotesX, y + kLineHeight}, fmt::format("… and {} more", links.size() - shown),
                kPlainText, Anchor::start, kPanelWidth);
    return y + kLineHeight + 4;
}

double draw_legend(SvgCanvas& canvas, const TopologyView& view, double top) {
    SvgCanvas content;
    double y = draw_colours(content, view, top + kPanelHead);
    y = draw_overrides(content, view, y);
    return draw_panel(canvas, PanelFrame{"Legend", "", false}, content, top, y);
}

}  // namespace

std::string topology_svg(const Topology& topology, const Fabric& fabric) {
    const TopologyView view = view_topology(topology, fabric);
    SvgCanvas canvas;
    double y = draw_title(canvas, view);
    const std::vector<Kind> nodes = node_kinds(view);
    for (std::size_t i = 0; i < std::min(nodes.size(), kKindsMax); ++i) {
        y = draw_node(canvas, view, nodes[i], y);
    }
    y = draw_rest(canvas, nodes.size(), "nodes", y);
    y = draw_network(canvas, view, y);
    y = draw_legend(canvas, view, y);
    return canvas.document(kSvgWidth, y, "Topology " + topology.name, kCss);
}

}  // namespace r1
