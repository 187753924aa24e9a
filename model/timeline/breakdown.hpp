// Where the step time of each pipeline rank goes: the columns of the DeepSeek-V3 report's DualPipe
// table (forward, backward for input, backward for weights, overlapped, bubble, optimizer).
#pragma once

#include <vector>

#include "model/timeline/timeline.hpp"

namespace r1 {

// The six add up to the step time.
struct PipelineBreakdown {
    double forward_s = 0;
    double backward_input_s = 0;
    double backward_weight_s = 0;
    double one_f_one_b_s = 0;  // overlapped F&B chunks
    double bubble_s = 0;       // the remainder
    double optimizer_s = 0;    // from the end of the last chunk of all lanes to the step's end

    [[nodiscard]] double total_s() const {
        return forward_s + backward_input_s + backward_weight_s + one_f_one_b_s + bubble_s +
               optimizer_s;
    }
};

struct PipelineTimes {
    std::vector<PipelineBreakdown> per_lane;
    PipelineBreakdown mean;  // over ranks: lanes weighted by multiplicity
    double step_s = 0;
};

// A chunk owns the time from its first op (or the previous chunk's end, if later) to its last op on
// any stream. A whole, not overlapped backward is divided between backward_input and
// backward_weight as the durations of its compute ops of each phase are. Messages and optimizer
// items are no chunks.
PipelineTimes pipeline_times(const ExecutionGraph& graph, const Timeline& timeline);

}  // namespace r1
