// What a report keeps of a timeline for pictures: when chunks ran, when streams were busy, how busy
// links were. Times are whole units of report["over_time"]["unit_ps"], packed as text, since a step
// has tens of thousands of them.
#pragma once

#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/timeline/timeline_index.hpp"
#include "sim/link_usage.hpp"

namespace r1 {

// One lane of each pipeline rank: the first. Of a measured run, `links` are none.
Json over_time_json(const TimelineIndex& index, const std::vector<LinkUsage>& links);

// The longest time between two chunks of such a lane, before its first or after its last (until the
// last chunk of any lane ends): {"rank", "start_s", "end_s", "duration_s"}; null if there is none.
Json largest_bubble_json(const TimelineIndex& index);

}  // namespace r1
