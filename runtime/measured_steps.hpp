// The last steps of a run as each rank recorded them, and one of them as all ranks did it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/timeline/timeline.hpp"
#include "runtime/agreement.hpp"
#include "runtime/exchange_record.hpp"

namespace r1 {

// Of one rank.
struct StepRecord {
    double time_s = 0;
    std::vector<Interval> intervals;
    Traffic traffic;
    std::vector<ExchangeRecord> exchanges;
};

// Of all ranks: lane r of the timeline is rank r, from the earliest start, on the clock of rank 0.
struct MeasuredStep {
    Timeline timeline;
    Traffic traffic;  // of all ranks together
    std::vector<ExchangeRecord> exchanges;
};

// How many steps are worth recording: the last ones, of which the median is reported.
inline constexpr std::int64_t kMeasuredSteps = 5;

// The step of median time by rank 0's clock. All ranks call it with as many records, at least one.
MeasuredStep median_step(const ExecutionGraph& graph, const std::vector<StepRecord>& records,
                         const Everyone& ranks);

}  // namespace r1
