// Sets of times as sorted, disjoint spans.
#pragma once

#include <utility>
#include <vector>

#include "model/base/units.hpp"

namespace r1 {

using Span = std::pair<TimePs, TimePs>;  // start, end

// Sorts and merges what overlaps or touches.
void unite(std::vector<Span>& spans);
TimePs length(const std::vector<Span>& united);
// Of the intersection of two united lists.
TimePs common_length(const std::vector<Span>& a, const std::vector<Span>& b);
// The part of a united list inside [start, end].
std::vector<Span> within(const std::vector<Span>& united, TimePs start, TimePs end);

}  // namespace r1
