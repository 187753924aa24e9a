// --fail-above: from which error on a command that compares exits with kThresholdExceeded.
#pragma once

#include <string>
#include <vector>

#include "tools/cli.hpp"

namespace r1 {

struct Threshold {
    std::string of;  // what it is for
    double percent = 0;
};

void add_threshold_option(po::options_description& options, const char* what);
// "5%", "5", or "WHAT=5%" with one of `names`; the first of them if none is named. Throws
// UsageError.
std::vector<Threshold> thresholds_of(const Invocation& invocation,
                                     const std::vector<std::string>& names);

}  // namespace r1
