// The least time that anything in a lowered step can take: every activity alone on its resources,
// started as soon as what it waits for is done. No replay is faster, since sharing only delays.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/replay_dag.hpp"

namespace r1 {

// Of one activity alone on the network: its delay, then the slowest of its compute and its links.
Seconds least_time(const Activity& activity, const EngineNetwork& network);

// Of a step with one lane a program (folding `stage`). Nodes are those of program `p` from
// first[p] on.
struct LeastTimes {
    std::vector<std::size_t> first;  // by program, and the end
    std::vector<double> duration;    // by node, s; of what lanes do at once, for each of its parts
    std::vector<double> start;       // by node, s: the earliest
    std::vector<double> tail;        // by node, s: from its end to the end of the step, at least
    double makespan = 0;             // s
};
// `compute_factor` scales the times of kernels.
LeastTimes least_times(const ReplayDag& dag, double compute_factor = 1);

}  // namespace r1
