// Lines of tables that are drawn as text.
#pragma once

#include <string>

namespace r1 {

// Ends the line.
inline std::string without_trailing_spaces(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
}

}  // namespace r1
