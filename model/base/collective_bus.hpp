// Bus bandwidth of a collective, as nccl-tests defines it (doc/PERFORMANCE.md there): comparable
// with what the links can do, whatever the collective and the number of ranks.
//
// The size is that of the larger of a rank's two buffers: what all_reduce reduces, what all_gather
// gathers, what reduce_scatter scatters, what all_to_all sends to all ranks together. A link of
// each rank carries at least the size times this factor.
#pragma once

#include <string_view>

namespace r1 {

constexpr double bus_factor(std::string_view collective, double ranks) {
    return (collective == "all_reduce" ? 2 : 1) * (ranks - 1) / ranks;
}

}  // namespace r1
