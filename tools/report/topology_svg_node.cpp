// A node: GPUs on their NVSwitches, and the NICs beside them.
#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tools/report/topology_svg_parts.hpp"

#include "model/base/index.hpp"

namespace r1 {
namespace {

constexpr int kSlotsMax = 12;  // of a row: a box must hold "gpu 50–51" and "100 GB/s"
constexpr double kBoxHeight = 38;
constexpr double kDeviceWidthMax = 130;
constexpr double kBarHeight = 28;
constexpr double kNvlinkHeight = 44;
constexpr double kAffinityHeight = 36;
constexpr double kStubHeight = 40;

class NodePanel {
public:
    NodePanel(const TopologyView& view, const Kind& kind, double top)
        : view_(view), kind_(kind), node_(kind.members.front()), top_(top) {
        const Fabric& plain = view.plain;
        double y = top + kPanelHead;
        bar_ = y;
        if (plain.gpus_per_node > 1) y += kBarHeight + kNvlinkHeight;
        gpus_y_ = y;
        y += kBoxHeight;
        if (plain.nics_per_node > 0) y += kAffinityHeight;
        nics_y_ = y;
        if (plain.nics_per_node > 0) y += kBoxHeight + kStubHeight + kLineHeight;
        bottom_ = y;
        for (int gpu = 0; gpu < plain.gpus_per_node; ++gpu) {
            if (overridden(nvlink_of(gpu))) wanted_gpus_.insert(gpu);
        }
        for (int nic = 0; nic < plain.nics_per_node; ++nic) {
            if (overridden(link_of(nic))) wanted_nics_.insert(nic);
        }
        gpus_ = row_of(choose_slots(plain.gpus_per_node, kSlotsMax, wanted_gpus_));
        nics_ = row_of(choose_slots(plain.nics_per_node, kSlotsMax, wanted_nics_));
    }

    double draw(SvgCanvas& canvas) const {
        SvgCanvas content;
        draw_links(content);
        draw_switches(content);
        draw_gpus(content);
        if (view_.plain.nics_per_node > 0) draw_nics(content);
        const double notes = draw_notes(content);
        return draw_panel(canvas, frame(), content, top_, std::max(bottom_, notes));
    }

private:
    [[nodiscard]] int nvlink_of(int gpu) const {
        return view_.plain.nvlink_of_gpu[at(node_ * view_.plain.gpus_per_node + gpu)];
    }
    [[nodiscard]] int link_of(int nic) const {
        return view_.plain.link_of_nic[at(node_ * view_.plain.nics_per_node + nic)];
    }
    [[nodiscard]] bool overridden(int link) const {
        return link >= 0 && view_.state(link) != LinkState::ordinary;
    }

    [[nodiscard]] PanelFrame frame() const {
        PanelFrame frame;
        const int count = static_cast<int>(kind_.members.size());
        frame.several = count > 1;
        const std::string which = (count > 1 ? "nodes " : "node ") + ranges_text(kind_.members);
        if (kind_.differs) {
            frame.heading = count > 1 ? fmt::format("Overridden node × {} nodes", count)
                                      : fmt::format("Overridden node {}", node_);
            const std::size_t links = wanted_gpus_.size() + wanted_nics_.size();
            frame.remark = fmt::format("{}: {} link{} overridden{}", which, links,
                                       links == 1 ? "" : "s", fallbacks());
        } else {
            frame.heading =
                count > 1 ? fmt::format("Node × {} nodes", count) : fmt::format("Node {}", node_);
            if (count > 1) frame.remark = which + " are alike";
        }
        return frame;
    }

    // Which NIC stands in for one that is removed.
    [[nodiscard]] std::string fallbacks() const {
        std::string text;
        for (int gpu = 0; gpu < view_.plain.gpus_per_node && view_.plain.nics_per_node > 0; ++gpu) {
            const int own = view_.plain.affinity[at(gpu)];
            const std::optional<int> used = nic_of(view_.fabric, rank_of(view_.fabric, node_, gpu));
            if (used == own) continue;
            text += used ? fmt::format(", gpu {} uses nic {}", gpu, *used)
                         : fmt::format(", gpu {} has no NIC", gpu);
        }
        return text;
    }

    void draw_links(SvgCanvas& canvas) const {
        for (const Cell& cell : gpus_) {
            if (cell.slot.gap()) continue;
            const int gpu = cell.slot.first;
            if (nvlink_of(gpu) >= 0) {
                draw_link(canvas, view_, nvlink_of(gpu), {cell.x, bar_ + kBarHeight},
                          {cell.x, gpus_y_});
            }
            if (nics_.empty()) continue;
            const Cell& nic = cell_of(nics_, view_.plain.affinity[at(gpu)]);
            canvas.line({cell.x, gpus_y_ + kBoxHeight}, {nic.x, nics_y_}, "beside");
        }
        for (const Cell& cell : nics_) {
            if (cell.slot.gap()) continue;
            const double y = nics_y_ + kBoxHeight;
            draw_link(canvas, view_, link_of(cell.slot.first), {cell.x, y},
                      {cell.x, y + kStubHeight});
        }
    }

    void draw_switches(SvgCanvas& canvas) const {
        if (view_.plain.gpus_per_node < 2) return;
        const Box bar{kFigureX + kBoxGap / 2, bar_, kFigureWidth - kBoxGap, kBarHeight};
        canvas.box(bar, "nvswitch");
        const int switches = view_.topology.nvlink.switches;
        const std::string label =
            switches > 0 ? fmt::format("{} NVSwitch{}", switches, switches == 1 ? "" : "es")
                         : std::string("NVLink");
        draw_lines(canvas, bar, {{label + ": every GPU reaches every other"}});
    }

    void draw_gpus(SvgCanvas& canvas) const {
        for (const Cell& cell : gpus_) {
            const Box box = cell_box(cell, gpus_y_, kBoxHeight, kDeviceWidthMax);
            if (cell.slot.gap()) {
                draw_gap(canvas, box, cell.slot.count, count_within(cell.slot, wanted_gpus_));
                continue;
            }
            canvas.box(box, "gpu");
            draw_lines(canvas, box,
                       {{fmt::format("gpu {}", cell.slot.first)}, {view_.topology.device.name}});
            if (nvlink_of(cell.slot.first) < 0) continue;
            draw_link_rate(canvas, view_, nvlink_of(cell.slot.first),
                           {cell.x, bar_ + kBarHeight + kNvlinkHeight / 2}, cell.width - kBoxGap);
        }
    }

    void draw_nics(SvgCanvas& canvas) const {
        for (const Cell& cell : nics_) {
            const Box box = cell_box(cell, nics_y_, kBoxHeight, kDeviceWidthMax);
            if (cell.slot.gap()) {
                draw_gap(canvas, box, cell.slot.count, count_within(cell.slot, wanted_nics_));
                continue;
            }
            const int nic = cell.slot.first;
            canvas.box(box, "nic");
            draw_lines(canvas, box, {{fmt::format("nic {}", nic)}, {gpus_of(nic, box.width)}});
            draw_link_rate(canvas, view_, link_of(nic), {cell.x, box.bottom() + kStubHeight / 2},
                           cell.width - kBoxGap);
            canvas.text({cell.x, box.bottom() + kStubHeight + 12}, network_of(nic), kFaintText,
                        Anchor::middle, cell.width - kBoxGap);
        }
    }

    [[nodiscard]] std::string gpus_of(int nic, double width) const {
        std::vector<int> gpus;
        for (int gpu = 0; gpu < view_.plain.gpus_per_node; ++gpu) {
            if (view_.plain.affinity[at(gpu)] == nic) gpus.push_back(gpu);
        }
        if (gpus.empty()) return "no GPU";
        const std::string text = "gpu " + ranges_text(gpus);
        return text_width("of " + text, kPlainText) <= width - kTextMargin ? "of " + text : text;
    }

    [[nodiscard]] std::string network_of(int nic) const {
        switch (view_.plain.kind) {
            case FabricKind::mpft: return fmt::format("plane {}", nic);
            case FabricKind::mrft: return fmt::format("rail {}", nic);
            case FabricKind::single_switch: return "switch 0";
            case FabricKind::none: break;
        }
        return "";
    }

    double draw_notes(SvgCanvas& canvas) const {
        const Topology& topology = view_.topology;
        const DeviceSpec& device = topology.device;
        Notes notes(canvas, top_ + kPanelHead - 4);
        if (topology.gpus_per_node > 1) {
            const NvlinkSpec& nvlink = topology.nvlink;
            notes.block(
                bar_ - 4, "NVLink, per GPU and direction",
                {fmt::format("{} GB/s, {} achievable ({:.3g} %)", gb_text(nvlink.bandwidth),
                             gb_text(nvlink.achievable()), 100 * nvlink.achievable_fraction),
                 us_text(nvlink.latency) + " from GPU to GPU"});
        }
        notes.block(
            gpus_y_ - 4, fmt::format("{} × {}", topology.gpus_per_node, device.name),
            {fmt::format("{} SM{}, {:.3g} GB at {} GB/s", device.sms, device.sms == 1 ? "" : "s",
                         device.memory.value() / 1e9, gb_text(device.hbm))});
        if (view_.plain.nics_per_node > 0) {
            const NicSpec& nic = topology.nic;
            notes.block(nics_y_ - 4,
                        nic.per_node == 1
                            ? std::string("1 NIC, per direction")
                            : fmt::format("{} NICs, each per direction", nic.per_node),
                        {fmt::format("{} GB/s, {} achievable ({:.3g} %)", gb_text(nic.bandwidth),
                                     gb_text(nic.achievable()), 100 * nic.achievable_fraction),
                         us_text(topology.fabric.same_leaf_latency) + " from NIC to NIC" +
                             (view_.plain.kind == FabricKind::single_switch ? "" : " of a leaf")});
        }
        return notes.bottom();
    }

    const TopologyView& view_;
    const Kind& kind_;
    int node_;
    double top_;
    double bar_ = 0;
    double gpus_y_ = 0;
    double nics_y_ = 0;
    double bottom_ = 0;
    std::set<int> wanted_gpus_;
    std::set<int> wanted_nics_;
    std::vector<Cell> gpus_;
    std::vector<Cell> nics_;
};

}  // namespace

double draw_node(SvgCanvas& canvas, const TopologyView& view, const Kind& kind, double y) {
    return NodePanel(view, kind, y).draw(canvas);
}

}  // namespace r1
