// From what ranks record to what the functions that read timelines take.
#pragma once

#include "model/timeline/timeline.hpp"

namespace r1 {

// One iteration on its own: numbered 0, sorted, with times from its earliest start.
Timeline one_iteration(const Timeline& timeline, std::int32_t iteration);

// A rank waits for a message from when its stream comes to the receive on; until its send starts,
// that is idling and no communication. Lets each receive begin with its send, if that is later, and
// last no time if its send seems to start after its end (clocks of ranks differ a little). For
// iteration 0 of a sorted timeline with one lane a rank; a receive without its send stays.
void trim_receives(const ExecutionGraph& graph, Timeline& timeline);

}  // namespace r1
