// What --fail-above asks for, and how answers say what is above it.
#pragma once

#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

struct Threshold {
    std::string of;  // what it is for
    double percent = 0;

    // Whether a signed error or change exceeds it; null, which has no size, does.
    [[nodiscard]] bool exceeded_by(const Json& signed_percent) const;
};

// {"of", "percent", "exceeded_by"}
Json threshold_json(const Threshold& threshold, const std::vector<std::string>& exceeded_by);
// A line: "op_kinds above 5 %: dispatch, recv".
std::string threshold_text(const Json& threshold);
// Whether anything exceeds one of a list of threshold_json().
bool any_exceeded(const Json& thresholds);

}  // namespace r1
