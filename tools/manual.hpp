// The manual of the program, made from the command table.
#pragma once

#include <string>

namespace r1 {

std::string man_page();         // r1sim(1), in the man macros of roff
std::string markdown_manual();  // docs/cli.md

}  // namespace r1
