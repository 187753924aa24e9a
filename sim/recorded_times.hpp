// A lowered step whose kernels take what they took in a timeline of the same graph, which a run
// measured or a simulation made: the network beside them may be another.
#pragma once

#include <string>

#include "model/graph/graph.hpp"
#include "model/timeline/timeline.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

struct CapturedStep {
    Timeline timeline;  // iteration 0, sorted
    bool measured = false;
    std::string file;  // for messages
};

// Gives the kernels of all lanes their times of the timeline: with the SMs for themselves, taking
// n that ran at once to have had an nth of the speed each, as the replay has it. Where a lane
// stands for several ranks, those of the rank that lane_for() finds. Communication stays as it was
// lowered. Between kernels, a simulated timeline has the gaps that they cost; a measured one idles,
// which is left out. Throws InputError if the timeline lacks a lane or an op.
void take_recorded_times(ReplayDag& dag, const ExecutionGraph& graph, const CapturedStep& step);

}  // namespace r1
