// What uneven experts make of the graph's symbols on single ranks.
#pragma once

#include <vector>

#include "model/graph/extent.hpp"
#include "model/routing/expert_routing.hpp"

namespace r1 {

// Of each rank of an exchange's group. `even`: what they would be on all ranks if experts were
// even, with `mean` traffic.
std::vector<SymbolValues> rank_symbols(const ExpertLoads& loads, const SymbolValues& even,
                                       const ExpertTraffic& mean);

// The largest of each symbol.
SymbolValues largest(const std::vector<SymbolValues>& values);

// Of a rank that is the fullest in every exchange; `even` where there are no loads.
SymbolValues fullest_symbols(const ExpertRouting& routing, const SymbolValues& even,
                             const ExpertTraffic& mean);

}  // namespace r1
