// The panels of topology_svg.cpp, and what they share: places, styles, links. From left to right a
// panel has notes and a figure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/report/svg.hpp"
#include "tools/report/topology_tree.hpp"
#include "tools/report/topology_view.hpp"

namespace r1 {

// Pixels.
inline constexpr double kSvgWidth = 1240;
inline constexpr double kSvgMargin = 20;
inline constexpr double kCardStep = 5;  // of the cards behind a panel that stands for several
inline constexpr double kPanelWidth = kSvgWidth - 2 * kSvgMargin - 2 * kCardStep;
inline constexpr double kNotesX = kSvgMargin + 16;
inline constexpr double kNotesWidth = 250;
inline constexpr double kFigureX = kNotesX + kNotesWidth + 20;
inline constexpr double kFigureWidth = kSvgMargin + kPanelWidth - 16 - kFigureX;
inline constexpr double kLineHeight = 15;
inline constexpr double kBoxGap = 6;      // between neighbours of a row
inline constexpr double kTextMargin = 2;  // of the text of a box, both sides together

inline constexpr TextStyle kTitleText{"text", 20, true};
inline constexpr TextStyle kHeadingText{"text", 14, true};
inline constexpr TextStyle kBoldText{"text", 11, true};
inline constexpr TextStyle kPlainText{"text", 11};
inline constexpr TextStyle kFaintText{"faint", 11};
inline constexpr TextStyle kDegradedText{"degraded-text", 11};
inline constexpr TextStyle kRemovedText{"removed-text", 11};

// A slot of a row with its place.
struct Cell {
    Slot slot;
    double x = 0;  // middle
    double width = 0;
};
// Slots side by side over the width of a figure.
std::vector<Cell> row_of(const std::vector<Slot>& slots);
const Cell& cell_of(const std::vector<Cell>& row, int index);

// A box of a row: as wide as the cell, or as `width_max`.
Box cell_box(const Cell& cell, double y, double height, double width_max);
struct TextLine {
    std::string text;
    TextStyle style = kPlainText;
};
// Lines of text in the middle of a box.
void draw_lines(SvgCanvas& canvas, const Box& box, const std::vector<TextLine>& lines);
// What stands for the things of a gap, "… 5 more": how many, and on how many overrides bear.
void draw_gap(SvgCanvas& canvas, const Box& box, int count, int differing,
              std::string_view noun = "more");

// "link", "link degraded" or "link removed".
std::string_view link_css(LinkState state);
const TextStyle& link_text(LinkState state);
// A link with, if it is overridden, its name and rates under the pointer.
void draw_link(SvgCanvas& canvas, const TopologyView& view, int link, Point from, Point to);
// The new rate of an overridden link on its line. Nothing if the link is ordinary.
void draw_link_rate(SvgCanvas& canvas, const TopologyView& view, int link, Point middle,
                    double width_max);
double link_rate_width(const TopologyView& view, int link);  // of an overridden link

// The notes of a panel, one block below the other.
class Notes {
public:
    Notes(SvgCanvas& canvas, double y) : canvas_(canvas), y_(y) {}

    // At `y`, or below the block before it.
    void block(double y, std::string_view heading, const std::vector<std::string>& lines);
    [[nodiscard]] double bottom() const { return y_; }

private:
    SvgCanvas& canvas_;
    double y_;
};

// A frame with a heading at its top left and a remark at its top right, around `content`, whose
// last pixel is at `bottom`; cards behind it if it stands for several. Returns the y below it.
struct PanelFrame {
    std::string heading;
    std::string remark;
    bool several = false;
};
double draw_panel(SvgCanvas& canvas, const PanelFrame& frame, const SvgCanvas& content, double top,
                  double bottom);
inline constexpr double kPanelHead = 44;  // from the top of a panel to its content

// Where the rows of a drawn tree begin: notes stand beside them.
struct TreeRows {
    double spines = 0;
    double uplinks = 0;
    double leaves = 0;
    double nics = 0;
    double bottom = 0;
};
TreeRows draw_tree(SvgCanvas& canvas, const TopologyView& view, const Tree& tree, double y);

// The panels. They start at `y` and return the y below them.
double draw_node(SvgCanvas& canvas, const TopologyView& view, const Kind& kind, double y);
double draw_plane(SvgCanvas& canvas, const TopologyView& view, const Kind& kind, double y);
double draw_rails(SvgCanvas& canvas, const TopologyView& view, double y);
double draw_single_switch(SvgCanvas& canvas, const TopologyView& view, double y);

}  // namespace r1
