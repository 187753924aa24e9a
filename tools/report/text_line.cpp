#include "tools/report/text_line.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

std::string bold(const std::string& text, bool color) {
    return color ? kBold + text + kPlain : text;
}

std::string terminal_text(std::string_view table, bool color) {
    std::string text = printable(table, "\n\t");
    for (const std::string_view style : {kBold, kCyan, kYellow, kPlain}) {
        for (std::size_t at = table.find(style); color && at != std::string_view::npos;
             at = table.find(style, at + 1)) {
            text[at] = style.front();
        }
    }
    return text;
}

std::string short_number(double value, int digits) {
    const double size = std::abs(value);
    if (size >= std::pow(10, digits) - 0.5 && size < 1e6) {
        return fmt::format("{:.0f}", value);
    }
    if (size == 0 || !std::isfinite(value) || (size >= 1e-4 && size < 1e6)) {
        return fmt::format("{:.{}g}", value, digits);
    }
    const int power = 3 * static_cast<int>(std::floor(std::log10(size) / 3));
    return fmt::format("{:.{}g}e{}", value / std::pow(10, power), digits, power);
}

std::string value_text(const Json& value, std::size_t width_max) {
    if (value.is_number_float()) {
        return short_number(value.get<double>(), 6);
    }
    std::string text = printable(value.is_string() ? value.get<std::string>() : value.dump());
    if (text.size() <= width_max) {
        return text;
    }
    const auto inside_character = [&](std::size_t at) {
        return (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
    };
    std::size_t end = width_max - 3;
    while (end > 0 && inside_character(end)) {
        --end;
    }
    return text.substr(0, end) + "...";
}

std::string text_table(const std::vector<TextRow>& rows,
                       const std::function<bool(std::size_t column)>& is_left) {
    std::vector<std::size_t> widths;
    for (const TextRow& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], row[i].size());
        }
    }
    std::string text;
    for (const TextRow& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += is_left(i) ? fmt::format("  {:<{}}", row[i], widths[i])
                               : fmt::format("  {:>{}}", row[i], widths[i]);
        }
        text += without_trailing_spaces(line);
    }
    return text;
}

}  // namespace r1
