// Timelines as a file: each interval with the op that it ran, so that a reader needs no graph.
#pragma once

#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/timeline/timeline.hpp"

namespace r1 {

// The intervals of one graph's ops on one rank.
struct TimelinePart {
    const ExecutionGraph& graph;
    const std::vector<Interval>& intervals;
};

// {"schema": "r1sim.timeline/1", "measured", "graphs": [{"hash", "ops": [{"kind", "stream",
// "phase", "layer"}]}], "columns": [...], "intervals": [[graph, item, op, iteration, start_ps,
// end_ps], …]}. Times count from the earliest start. Parts of one graph share its entry.
Json timeline_json(const std::vector<TimelinePart>& parts, bool measured);

}  // namespace r1
