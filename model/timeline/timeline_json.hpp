// Timelines as a file: each interval with the op that it ran, so that a reader needs no graph.
#pragma once

#include <string>
#include <vector>

#include "model/timeline/timeline.hpp"

namespace r1 {

// Intervals of one graph's ops.
struct TimelinePart {
    const ExecutionGraph& graph;
    const std::vector<Interval>& intervals;
};

// {"schema": "r1sim.timeline/1", "measured", "graphs": [{"hash", "programs": [{"items": [{"kind",
// "ops": [{"kind", "stream", "phase", "layer"}], "send": {"program", "item"} (of a recv)}]}]}],
// "lanes": [{"rank", "program", "multiplicity"}], "columns": [...], "intervals": [[graph, lane,
// item, op, iteration, start_ps, end_ps], …]}, an interval a line. All parts have the same lanes;
// parts of one graph share its entry. Measured times count from the earliest start, simulated ones
// from the step's begin.
std::string timeline_text(const std::vector<TimelinePart>& parts, const std::vector<Lane>& lanes,
                          bool measured);

}  // namespace r1
