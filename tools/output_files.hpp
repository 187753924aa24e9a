// What a command writes must not be what it reads, nor two things at once.
#pragma once

#include "tools/cli.hpp"

namespace r1 {

// Refuses output files that cannot be written, that are one file, or that are an input, before a
// run that may take long. Throws UsageError and InputError.
void check_output_files(const Command& command, const Invocation& invocation);

}  // namespace r1
