// A measured and a simulated timeline as one Chrome trace (JSON): of each measured rank two
// processes, one below the other, with a track a stream and a slice an op.
#pragma once

#include <ostream>
#include <vector>

#include "model/timeline/alignment.hpp"

namespace r1 {

// Process 2 r shows rank r as it was measured, process 2 r + 1 as it was simulated. Each slice says
// what its op took in both.
void write_validation_trace(std::ostream& out, const std::vector<AlignedGraph>& graphs);

}  // namespace r1
