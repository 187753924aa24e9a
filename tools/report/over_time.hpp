// What a report keeps of a timeline for pictures: when chunks ran, when streams were busy, how busy
// links were. Times are whole units of report["over_time"]["unit_ps"], packed as text, since a step
// has tens of thousands of them.
#pragma once

#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/timeline/timeline.hpp"
#include "sim/link_usage.hpp"

namespace r1 {

// Adds over_time, of the first lane of each pipeline rank, and pipeline.largest_bubble: the longest
// time between two chunks of such a lane, before its first or after its last (until the last chunk
// of any lane ends). Of a measured run, `links` are none.
void add_over_time(Json& report, const ExecutionGraph& graph, const Timeline& timeline,
                   const std::vector<LinkUsage>& links);

}  // namespace r1
