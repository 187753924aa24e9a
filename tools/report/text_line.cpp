#include "tools/report/text_line.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "model/base/json.hpp"

namespace r1 {

std::string value_text(const Json& value, std::size_t width_max) {
    if (value.is_number_float()) {
        return fmt::format("{:.6g}", value.get<double>());
    }
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
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
