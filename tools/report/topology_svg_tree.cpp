// Leaf switches with their NICs below and spine switches above. Not all of them: slots and gaps.
#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tools/report/topology_svg_parts.hpp"

#include "model/base/index.hpp"

namespace r1 {
namespace {

constexpr double kBoxWidthMax = 110;
constexpr double kSpineHeight = 28;
constexpr double kUplinkHeight = 96;
constexpr double kLeafHeight = 52;
constexpr double kNicHeight = 36;
constexpr double kRateWidthMax = 104;
constexpr double kRailHeight = 26;  // brackets and names of rails

constexpr std::array kStates{LinkState::ordinary, LinkState::degraded, LinkState::removed};

bool overlap(const Box& a, const Box& b) {
    return a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom();
}

// A column with its place.
struct Place {
    TreeColumn column;
    double x = 0;  // middle
    double width = 0;
};

class TreePanel {
public:
    TreePanel(const TopologyView& view, const Tree& tree)
        : view_(view), tree_(tree), choice_(view, tree), spines_(row_of(choice_.spines())) {
        const double width = kFigureWidth / static_cast<double>(choice_.columns().size());
        double x = kFigureX + width / 2;
        for (const TreeColumn& column : choice_.columns()) {
            places_.push_back(Place{column, x, width});
            x += width;
        }
    }

    TreeRows draw(SvgCanvas& canvas, double y) {
        TreeRows& rows = rows_;
        rows.spines = y;
        rows.uplinks = tree_.spines.empty() ? y : y + kSpineHeight;
        rows.leaves = tree_.spines.empty() ? y : rows.uplinks + kUplinkHeight;
        rows.nics = rows.leaves + kLeafHeight;
        const double nodes = rows.nics + kNicHeight;
        std::size_t lines = 0;
        for (const Place& place : places_) {
            lines = std::max(lines, node_lines(place.column).size());
        }
        nodes_height_ = static_cast<double>(lines) * kLineHeight + 8;
        rows.bottom = nodes + nodes_height_ + (tree_.groups.size() > 1 ? kRailHeight : 0);
        draw_uplinks(canvas);
        for (const Place& place : places_) {
            if (!place.column.gap() && !place.column.node_gap()) draw_nics(canvas, place);
        }
        draw_spines(canvas);
        draw_leaves(canvas);
        for (const Place& place : places_) {
            if (!place.column.gap()) draw_nodes(canvas, place);
        }
        if (tree_.groups.size() > 1) draw_rail_names(canvas);
        return rows;
    }

private:
    [[nodiscard]] std::vector<TextLine> node_lines(const TreeColumn& column) const {
        if (column.gap() || column.node_gap()) return {};
        std::vector<TextLine> lines;
        const Slot& nodes = column.nodes;
        if (nodes.gap()) {
            lines.push_back({"nodes"});
            lines.push_back({fmt::format("{}–{}", nodes.first, nodes.first + nodes.count - 1)});
        } else {
            lines.push_back({fmt::format("node {}", nodes.first)});
        }
        const NicBundle nics = choice_.nics(choice_.leaf_of(column), nodes);
        if (nics.all() == 1) {  // the rate stands at the link
            lines.push_back(
                {fmt::format("nic {}", view_.plain.links[at(nics.any_link())].from.index %
                                           view_.plain.nics_per_node)});
            return lines;
        }
        lines.push_back({fmt::format("{} NICs", nics.all())});
        if (const int count = nics.of(LinkState::degraded); count > 0) {
            lines.push_back({fmt::format("{} slower", count), kDegradedText});
        }
        if (const int count = nics.of(LinkState::removed); count > 0) {
            lines.push_back({fmt::format("{} removed", count), kRemovedText});
        }
        return lines;
    }

    // Between the visible switches; then the rates of overridden ones where they find room.
    void draw_uplinks(SvgCanvas& canvas) const {
        std::vector<std::pair<int, std::pair<Point, Point>>> overridden;
        for (const Place& place : places_) {
            if (place.column.gap()) continue;
            for (const int link : view_.plain.links_of_leaf[at(choice_.leaf_of(place.column))]) {
                const auto spine = std::find(tree_.spines.begin(), tree_.spines.end(),
                                             view_.plain.links[at(link)].to.index);
                const Cell& cell =
                    cell_of(spines_, static_cast<int>(std::distance(tree_.spines.begin(), spine)));
                if (cell.slot.gap()) continue;
                const Point from{place.x, rows_.leaves};
                const Point to{cell.x, rows_.uplinks};
                if (view_.state(link) == LinkState::ordinary) {
                    draw_link(canvas, view_, link, from, to);
                } else {
                    overridden.push_back({link, {from, to}});
                }
            }
        }
        for (const auto& [link, ends] : overridden) {
            draw_link(canvas, view_, link, ends.first, ends.second);
        }
        std::vector<Box> taken;
        for (const auto& [link, ends] : overridden) draw_rate(canvas, link, ends, taken);
    }

    void draw_rate(SvgCanvas& canvas, int link, const std::pair<Point, Point>& ends,
                   std::vector<Box>& taken) const {
        const auto& [from, to] = ends;
        const double width = std::min(link_rate_width(view_, link), kRateWidthMax);
        for (const double part : {0.5, 0.32, 0.68, 0.14, 0.86}) {
            const Point middle{from.x + part * (to.x - from.x), from.y + part * (to.y - from.y)};
            const Box box{middle.x - width / 2, middle.y - kLineHeight / 2, width, kLineHeight};
            if (std::any_of(taken.begin(), taken.end(),
                            [&](const Box& other) { return overlap(box, other); })) {
                continue;
            }
            draw_link_rate(canvas, view_, link, middle, width);
            taken.push_back(box);
            return;
        }
    }

    // One line for each state that occurs, side by side.
    void draw_nics(SvgCanvas& canvas, const Place& place) const {
        const NicBundle nics = choice_.nics(choice_.leaf_of(place.column), place.column.nodes);
        const double bottom = rows_.nics + kNicHeight;
        int kinds = 0;
        for (const int count : nics.count) kinds += count > 0;
        double x = place.x - 5 * (kinds - 1);
        for (const LinkState state : kStates) {
            if (nics.of(state) == 0) continue;
            draw_link(canvas, view_, nics.first_of(state), {x, rows_.nics}, {x, bottom});
            x += 10;
        }
    }

    void draw_spines(SvgCanvas& canvas) const {
        for (const Cell& cell : spines_) {
            const Box box = cell_box(cell, rows_.spines, kSpineHeight, kBoxWidthMax);
            if (cell.slot.gap()) {
                draw_gap(canvas, box, cell.slot.count, choice_.differing_spines(cell.slot));
                continue;
            }
            canvas.box(box, "spine");
            draw_lines(canvas, box, {{fmt::format("spine {}", cell.slot.first)}});
        }
    }

    void draw_leaves(SvgCanvas& canvas) const {
        for (std::size_t i = 0; i < places_.size();) {
            const Place& place = places_[i];
            // A leaf of several columns is the only one.
            const Place& last = place.column.lone ? place : places_.back();
            const Cell cell{place.column.leaf, place.x, place.width};
            Box box = cell_box(cell, rows_.leaves, kLeafHeight, kBoxWidthMax);
            box.width += last.x - place.x;
            draw_leaf(canvas, place.column, box);
            i = place.column.lone ? i + 1 : places_.size();
        }
    }

    void draw_leaf(SvgCanvas& canvas, const TreeColumn& column, const Box& box) const {
        if (column.gap()) {
            const bool rails = column.groups > 1;
            return draw_gap(canvas, box, rails ? column.groups : column.leaf.count,
                            choice_.differing_below(column), rails ? "rails" : "more");
        }
        const int leaf = choice_.leaf_of(column);
        const auto [first, last] = view_.nodes_of_leaf[at(leaf)];
        const NicBundle nics = choice_.nics(leaf, Slot{first, last - first + 1});
        const bool single = view_.plain.kind == FabricKind::single_switch;
        std::vector<TextLine> lines;
        lines.push_back({fmt::format("{} {}", single ? "switch" : "leaf", column.leaf.first)});
        if (!tree_.spines.empty()) {
            int all = 0;
            int present = 0;
            for (const int link : view_.plain.links_of_leaf[at(leaf)]) {
                const int count = view_.plain.links[at(link)].count;
                all += count;
                present += view_.state(link) == LinkState::removed ? 0 : count;
            }
            if (present == all) {
                lines.push_back({fmt::format("{} up", all)});
            } else {
                lines.push_back({fmt::format("{}/{} up", present, all), kRemovedText});
            }
        }
        const int removed = nics.of(LinkState::removed);
        lines.push_back({fmt::format("{} down", nics.all() - removed),
                         removed > 0 ? kRemovedText : kPlainText});
        canvas.box(box, "leaf");
        draw_lines(canvas, box, lines);
    }

    void draw_nodes(SvgCanvas& canvas, const Place& place) const {
        const TreeColumn& column = place.column;
        const Cell cell{column.nodes, place.x, place.width};
        const Box box = cell_box(cell, rows_.nics + kNicHeight, nodes_height_, kBoxWidthMax);
        if (column.node_gap()) {
            return draw_gap(canvas, box, column.nodes.count, choice_.differing_below(column));
        }
        canvas.box(box, "nodes");
        draw_lines(canvas, box, node_lines(column));
        const NicBundle nics = choice_.nics(choice_.leaf_of(column), column.nodes);
        if (nics.all() > 1) return;
        draw_link_rate(canvas, view_, nics.any_link(), {place.x, rows_.nics + kNicHeight / 2},
                       place.width - kBoxGap);
    }

    void draw_rail_names(SvgCanvas& canvas) const {
        const double y = rows_.bottom - kRailHeight + 8;
        for (std::size_t i = 0; i < places_.size();) {
            const int group = places_[i].column.group;
            std::size_t next = i + 1;
            while (next < places_.size() && places_[next].column.group == group) ++next;
            const Place& first = places_[i];
            const Place& last = places_[next - 1];
            i = next;
            if (first.column.groups > 1) continue;
            const double left = first.x - first.width / 2 + kBoxGap;
            const double right = last.x + last.width / 2 - kBoxGap;
            canvas.line({left, y}, {right, y}, "bracket");
            canvas.text({(left + right) / 2, y + 15}, fmt::format("rail {0}: nic {0}", group),
                        kBoldText, Anchor::middle, right - left);
        }
    }

    const TopologyView& view_;
    const Tree& tree_;
    TreeChoice choice_;
    std::vector<Cell> spines_;
    std::vector<Place> places_;
    TreeRows rows_;
    double nodes_height_ = 0;
};

}  // namespace

TreeRows draw_tree(SvgCanvas& canvas, const TopologyView& view, const Tree& tree, double y) {
    return TreePanel(view, tree).draw(canvas, y);
}

}  // namespace r1
