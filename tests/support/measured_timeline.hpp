// Timelines as ranks would record them: one lane a rank, every op of a graph with a random
// duration.
#pragma once

#include <cstdint>

#include "model/timeline/timeline.hpp"

namespace r1::test {

// Streams run ops in order once what they read is there, as RankExecutor does. A receive begins
// when its stream comes to it and ends after its send, a collective when its rank is ready and ends
// after its last member is; others take 1 to 100 us. Clocks of ranks differ by up to 3 us, and all
// count from some time long ago.
Timeline measured_timeline(const ExecutionGraph& graph, std::uint64_t seed);

}  // namespace r1::test
