// Lines of tables that are drawn as text.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

// Ends the line.
inline std::string without_trailing_spaces(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
}

// The styles of our tables.
inline constexpr const char* kBold = "\033[1m";
inline constexpr const char* kCyan = "\033[36m";
inline constexpr const char* kYellow = "\033[33m";
inline constexpr const char* kPlain = "\033[0m";
std::string bold(const std::string& text, bool color);

// A table as terminals get it: without control characters, which texts of files may hold, but for
// line ends and, with colours, our styles.
std::string terminal_text(std::string_view table, bool color);

using TextRow = std::vector<std::string>;
// Lines of columns as wide as their widest cell; numbers stand at the right, what `is_left` says of
// a column's number at the left.
std::string text_table(const std::vector<TextRow>& rows,
                       const std::function<bool(std::size_t column)>& is_left);

// A number with at least so many digits (4 or more): "0.0123", "497883", "3.3537e6", "43.017e9",
// "7.3e-6". The power is one of thousands, from millions and below a ten-thousandth.
std::string short_number(double value, int digits = 5);

// A value in a cell of at most `width_max` bytes: fractions with six digits, texts without quotes.
std::string value_text(const Json& value, std::size_t width_max);

}  // namespace r1
