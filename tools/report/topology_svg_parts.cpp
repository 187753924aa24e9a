#include "tools/report/topology_svg_parts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/base/check.hpp"

namespace r1 {

std::vector<Cell> row_of(const std::vector<Slot>& slots) {
    std::vector<Cell> row;
    const double width = kFigureWidth / static_cast<double>(std::max<std::size_t>(slots.size(), 1));
    double x = kFigureX + width / 2;
    for (const Slot& slot : slots) {
        row.push_back(Cell{slot, x, width});
        x += width;
    }
    return row;
}

const Cell& cell_of(const std::vector<Cell>& row, int index) {
    const auto found = std::find_if(row.begin(), row.end(),
                                    [&](const Cell& cell) { return cell.slot.holds(index); });
    R1_CHECK(found != row.end());
    return *found;
}

Box cell_box(const Cell& cell, double y, double height, double width_max) {
    const double width = std::min(cell.width - kBoxGap, width_max);
    return Box{cell.x - width / 2, y, width, height};
}

void draw_lines(SvgCanvas& canvas, const Box& box, const std::vector<TextLine>& lines) {
    const double count = static_cast<double>(lines.size());
    double y = box.middle().y - (count - 1) * kLineHeight / 2 + 4;  // 4: middle of a letter
    for (const TextLine& line : lines) {
        canvas.text({box.middle().x, y}, line.text, line.style, Anchor::middle,
                    box.width - kTextMargin);
        y += kLineHeight;
    }
}

void draw_gap(SvgCanvas& canvas, const Box& box, int count, int differing, std::string_view noun) {
    canvas.box(box, "gap");
    const TextStyle& style = differing > 0 ? kDegradedText : kFaintText;
    std::string how_many = fmt::format("… {} {}", count, noun);
    if (text_width(how_many, style) > box.width - kTextMargin)
        how_many = fmt::format("… {}", count);
    std::vector<TextLine> lines{{how_many, style}};
    if (differing > 0 && box.height >= 2 * kLineHeight) {
        lines.push_back({fmt::format("{} differ{}", differing, differing == 1 ? "s" : ""), style});
    }
    draw_lines(canvas, box, lines);
}

std::string_view link_css(LinkState state) {
    switch (state) {
        case LinkState::ordinary: break;
        case LinkState::degraded: return "link degraded";
        case LinkState::removed: return "link removed";
    }
    return "link";
}

const TextStyle& link_text(LinkState state) {
    switch (state) {
        case LinkState::ordinary: break;
        case LinkState::degraded: return kDegradedText;
        case LinkState::removed: return kRemovedText;
    }
    return kPlainText;
}

void draw_link(SvgCanvas& canvas, const TopologyView& view, int link, Point from, Point to) {
    const LinkState state = view.state(link);
    canvas.line(from, to, link_css(state),
                state == LinkState::ordinary ? "" : override_long(view, link));
}

double link_rate_width(const TopologyView& view, int link) {
    return text_width(override_short(view, link), kPlainText) + 6;
}

void draw_link_rate(SvgCanvas& canvas, const TopologyView& view, int link, Point middle,
                    double width_max) {
    const LinkState state = view.state(link);
    if (state == LinkState::ordinary) return;
    const double width = std::min(link_rate_width(view, link), width_max);
    canvas.box({middle.x - width / 2, middle.y - kLineHeight / 2, width, kLineHeight}, "label", 2);
    canvas.text({middle.x, middle.y + 4}, override_short(view, link), link_text(state),
                Anchor::middle, width);
}

void Notes::block(double y, std::string_view heading, const std::vector<std::string>& lines) {
    y_ = std::max(y, y_) + kLineHeight;
    canvas_.text({kNotesX, y_ - 4}, heading, kBoldText, Anchor::start, kNotesWidth);
    for (const std::string& text : lines) {
        for (const std::string& line : wrapped(text, kPlainText, kNotesWidth)) {
            y_ += kLineHeight;
            canvas_.text({kNotesX, y_ - 4}, line, kPlainText, Anchor::start, kNotesWidth);
        }
    }
    y_ += 6;
}

double draw_panel(SvgCanvas& canvas, const PanelFrame& frame, const SvgCanvas& content, double top,
                  double bottom) {
    const Box front{kSvgMargin, top, kPanelWidth, bottom + 14 - top};
    for (const double step : {2 * kCardStep, kCardStep}) {
        if (!frame.several) break;
        canvas.box({front.x + step, front.y + step, front.width, front.height}, "panel", 8);
    }
    canvas.box(front, "panel", 8);
    const double inside = kPanelWidth - 32;
    const std::string heading = fitted(frame.heading, kHeadingText, inside * 0.6);
    canvas.text({kNotesX, top + 24}, heading, kHeadingText, Anchor::start, inside);
    canvas.text({front.right() - 16, top + 24}, frame.remark, kFaintText, Anchor::end,
                inside - text_width(heading, kHeadingText) - 20);
    canvas.add(content);
    return front.bottom() + 2 * kCardStep + 12;
}

}  // namespace r1
