// Pieces of an SVG drawing: boxes, lines, and text whose width is known well enough to lay it out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace r1 {

struct Point {
    double x = 0;
    double y = 0;
};

struct Box {
    double x = 0;
    double y = 0;
    double width = 0;
    double height = 0;

    [[nodiscard]] double right() const { return x + width; }
    [[nodiscard]] double bottom() const { return y + height; }
    [[nodiscard]] Point middle() const { return {x + width / 2, y + height / 2}; }
};

enum class Anchor { start, middle, end };

struct TextStyle {
    std::string_view css;  // class: its colour
    double size = 11;      // pixels
    bool bold = false;
};

// Text as XML holds it; what XML 1.0 cannot hold at all becomes U+FFFD. The text is UTF-8.
std::string xml_escape(std::string_view text);

// At least what the common sans-serif fonts need (DejaVu Sans and Verdana are the wide ones).
double text_width(std::string_view text, const TextStyle& style);

// The text, or as much of it as fits, with an ellipsis.
std::string fitted(std::string_view text, const TextStyle& style, double width);

// The text in lines that fit, broken at spaces; a word that is too wide is cut.
std::vector<std::string> wrapped(std::string_view text, const TextStyle& style, double width);

// Elements in drawing order: what is added later lies on top.
class SvgCanvas {
public:
    void box(const Box& box, std::string_view css, double radius = 4);
    // `title`: what a viewer shows under the pointer.
    void line(Point from, Point to, std::string_view css, std::string_view title = {});
    // `at` is on the baseline. Cut to `width`; what was cut is in the title.
    void text(Point at, std::string_view text, const TextStyle& style, Anchor anchor, double width);
    void add(const SvgCanvas& other) { elements_ += other.elements_; }

    // A whole file. `css` goes into a style element.
    [[nodiscard]] std::string document(double width, double height, std::string_view title,
                                       std::string_view css) const;

private:
    std::string elements_;
};

}  // namespace r1
