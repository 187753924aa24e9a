// The command table as text: what the manual and shell completion make of options.
#pragma once

#include <string>
#include <vector>

#include "tools/cli.hpp"

namespace r1 {

struct OptionText {
    std::string name;                  // "output"
    std::string letter;                // "o", or empty
    std::string value;                 // "FILE", "fp32|bf16"; empty: a flag
    std::vector<std::string> choices;  // of values that are words: "fp32", "bf16"
    std::string otherwise;             // the value if not given; empty: none
    std::string description;
};

// Those of the command, without its positional argument; those of all commands.
std::vector<OptionText> own_option_texts(const Command& command);
std::vector<OptionText> shared_option_texts();

}  // namespace r1
