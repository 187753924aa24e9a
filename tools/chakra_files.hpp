// Chakra traces of a step as files: --chakra FOLDER.
#pragma once

#include "sim/simulate.hpp"
#include "tools/cli.hpp"

namespace r1 {

// FOLDER/SCENARIO.RANK.et, as readers of Chakra traces look for them. Throws InputError.
void write_chakra_files(const Invocation& invocation, const Setting& setting,
                        const Simulation& simulation);

}  // namespace r1
