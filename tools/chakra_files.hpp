// Chakra traces of a step as files: --chakra FOLDER.
#pragma once

#include "sim/simulate.hpp"
#include "tools/cli.hpp"

namespace r1 {

// Makes the folder, if the option is given: before work that may take long. Throws InputError.
void make_chakra_folder(const Invocation& invocation);
// FOLDER/SCENARIO.RANK.et, as readers of Chakra traces look for them. Throws InputError.
void write_chakra_files(const Invocation& invocation, const Setting& setting,
                        const Simulation& simulation);

}  // namespace r1
