// Lines of tables that are drawn as text.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

// Ends the line.
inline std::string without_trailing_spaces(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
}

using TextRow = std::vector<std::string>;
// Lines of columns as wide as their widest cell; numbers stand at the right, what `is_left` says of
// a column's number at the left.
std::string text_table(const std::vector<TextRow>& rows,
                       const std::function<bool(std::size_t column)>& is_left);

// A value in a cell of at most `width_max` bytes: fractions with six digits, texts without quotes.
std::string value_text(const Json& value, std::size_t width_max);

}  // namespace r1
