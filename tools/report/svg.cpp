#include "tools/report/svg.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace r1 {
namespace {

constexpr std::string_view kEllipsis = "…";
constexpr double kBoldFactor = 1.12;
constexpr double kTitleWidth = 2000;  // a title is for reading: a name of a megabyte is not
constexpr TextStyle kTitleStyle{"", 11, false};

// Bytes of the character that starts at `text[0]`.
std::size_t character_bytes(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    return std::min(bytes, text.size());
}

// In ems: DejaVu Sans, rounded up by kinds of characters.
double character_width(std::string_view character) {
    if (character.size() > 1) return character == "–" ? 0.55 : 1.0;
    const char c = character.front();
    if (std::string_view("ijlI.,:;'|! ").find(c) != std::string_view::npos) return 0.34;
    if (std::string_view("frt()[]/-").find(c) != std::string_view::npos) return 0.42;
    if (std::string_view("mwMW%@").find(c) != std::string_view::npos) return 0.99;
    if (std::string_view("+=<>&#~").find(c) != std::string_view::npos) return 0.84;
    return c >= 'A' && c <= 'Z' ? 0.75 : 0.64;
}

// XML 1.0 has no control characters but tab and line ends, and neither U+FFFE nor U+FFFF.
bool is_xml(std::string_view character) {
    const auto lead = static_cast<unsigned char>(character.front());
    if (character.size() == 1) return lead >= 0x20 || lead == '\t' || lead == '\n' || lead == '\r';
    return character != "\xEF\xBF\xBE" && character != "\xEF\xBF\xBF";
}

// A tenth of a pixel is exact enough, and short.
double rounded(double value) { return std::round(value * 10) / 10; }

std::string title_element(std::string_view title) {
    if (title.empty()) return "";
    return fmt::format("<title>{}</title>", xml_escape(fitted(title, kTitleStyle, kTitleWidth)));
}

}  // namespace

std::string xml_escape(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const std::string_view character = text.substr(0, character_bytes(text));
        text.remove_prefix(character.size());
        switch (character.front()) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            default: out += is_xml(character) ? character : "\xEF\xBF\xBD";
        }
    }
    return out;
}

double text_width(std::string_view text, const TextStyle& style) {
    double ems = 0;
    while (!text.empty()) {
        const std::string_view character = text.substr(0, character_bytes(text));
        text.remove_prefix(character.size());
        ems += character_width(character);
    }
    return ems * style.size * (style.bold ? kBoldFactor : 1);
}

std::string fitted(std::string_view text, const TextStyle& style, double width) {
    if (text_width(text, style) <= width) return std::string(text);
    double room = width - text_width(kEllipsis, style);
    std::size_t kept = 0;
    while (kept < text.size()) {
        const std::size_t bytes = character_bytes(text.substr(kept));
        room -= text_width(text.substr(kept, bytes), style);
        if (room < 0) break;
        kept += bytes;
    }
    return std::string(text.substr(0, kept)) + std::string(kEllipsis);
}

std::vector<std::string> wrapped(std::string_view text, const TextStyle& style, double width) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const std::string_view word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(word.size() + 1, text.size()));
        const std::string longer =
            lines.empty() ? std::string(word) : lines.back() + " " + std::string(word);
        if (!lines.empty() && text_width(longer, style) <= width) {
            lines.back() = longer;
        } else {
            lines.push_back(fitted(word, style, width));
        }
    }
    return lines;
}

void SvgCanvas::box(const Box& box, std::string_view css, double radius) {
    elements_ +=
        fmt::format(R"(<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}")", css,
                    rounded(box.x), rounded(box.y), rounded(box.width), rounded(box.height));
    elements_ += fmt::format(R"( rx="{:g}"/>)"
                             "\n",
                             radius);
}

void SvgCanvas::line(Point from, Point to, std::string_view css, std::string_view title) {
    elements_ += fmt::format(R"(<line class="{}" x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}")", css,
                             rounded(from.x), rounded(from.y), rounded(to.x), rounded(to.y));
    elements_ += title.empty() ? "/>\n" : ">" + title_element(title) + "</line>\n";
}

void SvgCanvas::text(Point at, std::string_view text, const TextStyle& style, Anchor anchor,
                     double width) {
    if (text.empty()) return;
    const std::string shown = fitted(text, style, width);
    elements_ += fmt::format(R"(<text class="{}" x="{:g}" y="{:g}" font-size="{:g}")", style.css,
                             rounded(at.x), rounded(at.y), style.size);
    if (style.bold) elements_ += R"( font-weight="bold")";
    if (anchor == Anchor::middle) elements_ += R"( text-anchor="middle")";
    if (anchor == Anchor::end) elements_ += R"( text-anchor="end")";
    elements_ +=
        fmt::format(">{}{}</text>\n", xml_escape(shown), shown == text ? "" : title_element(text));
}

std::string SvgCanvas::document(double width, double height, std::string_view title,
                                std::string_view css) const {
    std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    out += fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0:g}" height="{1:g}" )"
                       R"(viewBox="0 0 {0:g} {1:g}" font-family="sans-serif">)"
                       "\n",
                       rounded(width), rounded(height));
    out += title_element(title) + "\n<style>\n" + std::string(css) + "</style>\n";
    // A background of its own: the colours are made for white, whatever the viewer shows behind.
    out += R"(<rect class="paper" width="100%" height="100%"/>)"
           "\n";
    return out + elements_ + "</svg>\n";
}

}  // namespace r1
