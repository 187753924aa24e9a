// An overlapped pair of chunks layer by layer, as the published training trace is read.
#pragma once

#include <vector>

#include "model/timeline/timeline.hpp"

namespace r1 {

// Layer i of the pair: the i-th layer forward with the i-th of those that go backward.
struct LayerTimes {
    double period_s = 0;        // from the first compute op of its forward pass to that of the next
    double compute_busy_s = 0;  // while a kernel of the layer runs on a compute stream
    double comm_busy_s = 0;     // while one runs on the communication stream; notify does not count
    double comm_exposed_s = 0;  // within the period: communication, and no compute stream runs
};

// Of the first overlapped chunk of the first lane; empty if there is none. The last layer's period
// ends with the timeline.
std::vector<LayerTimes> layer_times(const ExecutionGraph& graph, const Timeline& timeline);

}  // namespace r1
