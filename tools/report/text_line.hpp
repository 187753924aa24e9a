// Lines of tables that are drawn as text.
#pragma once

#include <cstddef>
#include <string>

#include "model/base/json_fwd.hpp"

namespace r1 {

// Ends the line.
inline std::string without_trailing_spaces(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
}

// A value in a cell of at most `width_max` bytes: fractions with six digits, texts without quotes.
std::string value_text(const Json& value, std::size_t width_max);

}  // namespace r1
