// Completion of commands, options and their values, as scripts of shells.
#pragma once

#include <string>

namespace r1 {

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace r1
