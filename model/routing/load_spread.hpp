// How unevenly tokens spread over experts.
#pragma once

#include <span>

namespace r1 {

struct LoadSpread {
    double max_over_mean = 1;  // tokens of the fullest expert over the mean over experts
    double gini = 0;           // coefficient
};

// Of loads that are not all zero.
LoadSpread load_spread(std::span<const double> loads);

}  // namespace r1
