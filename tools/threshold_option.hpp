// --fail-above: from which error on a command that compares exits with kThresholdExceeded.
#pragma once

#include <string>
#include <vector>

#include "tools/cli.hpp"
#include "tools/report/threshold.hpp"

namespace r1 {

void add_threshold_option(po::options_description& options, const char* what);
// "5%", "5", or "WHAT=5%" with one of `names`; the first of them if none is named. Throws
// UsageError.
std::vector<Threshold> thresholds_of(const Invocation& invocation,
                                     const std::vector<std::string>& names);

}  // namespace r1
