// The execution graph lowered for replay: segments and messages as one DAG of engine activities.
#pragma once

#include <cstdint>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/timeline/timeline.hpp"
#include "sim/engine.hpp"

namespace r1 {

// Ops that run as one activity: a maximal run on one stream without a dependency to or from
// another stream inside (or a single communication op), with each op's share of the time: it runs
// from share_begin to share_end, and before that is the gap that it costs.
struct Segment {
    Stream stream = Stream::compute;
    std::vector<OpIndex> ops;
    std::vector<double> share_begin;  // of the duration, by op
    std::vector<double> share_end;    // ascending to 1
};

// One run of a segment on one lane.
struct NodeRun {
    std::uint32_t lane = 0;
    std::uint32_t item = 0;
    const Segment* segment = nullptr;
};

struct ReplayNode {
    Activity activity;
    std::vector<NodeRun> runs;  // several for a collective that spans lanes
    std::vector<std::uint32_t> successors;
    std::uint32_t predecessors = 0;
    std::int32_t send = -1;      // of a receive: the node of its send
    std::int32_t previous = -1;  // of a receive: the receive before it
};

struct ReplayDag {
    EngineNetwork network;
    std::vector<Lane> lanes;
    std::vector<ReplayNode> nodes;
    std::vector<std::vector<Segment>> segments;  // by template; nodes point into it
};

// Runs the DAG on the engine and returns the timeline of iteration 0. Throws InternalError if the
// engine ends before every node ran, or runs one twice.
Timeline replay(const ReplayDag& dag, ReplayEngine& engine);

}  // namespace r1
