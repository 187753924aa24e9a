// How much communication there is, and how much of it no computation hides.
#pragma once

#include <map>
#include <string>

#include "model/timeline/timeline.hpp"

namespace r1 {

// total: when at least one such communication op runs. exposed: the part of it during which no
// compute op runs on a compute stream of the rank. Mean over ranks. notify has an entry of its own
// and is no part of the sums: it waits, and moves nothing.
struct CommTime {
    double total_s = 0;
    double exposed_s = 0;
};

struct Overlap {
    double comm_total_s = 0;
    double comm_exposed_s = 0;
    CommTime one_f_one_b;  // of overlapped F&B chunks alone, which are there to hide it
    // By collective ("dispatch", "combine", "send", "recv", …). Kinds that run at the same time
    // each count their own time, so the sum can be more than comm_total_s.
    std::map<std::string, CommTime> by_kind;
};

Overlap comm_overlap(const ExecutionGraph& graph, const Timeline& timeline);

}  // namespace r1
