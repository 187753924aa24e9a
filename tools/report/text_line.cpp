#include "tools/report/text_line.hpp"

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

}  // namespace r1
