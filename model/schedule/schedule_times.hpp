// When each chunk of a schedule runs if chunks take constant times and messages none: what the
// bubble formulas of the papers are about.
#pragma once

#include <utility>
#include <vector>

#include "model/schedule/schedule.hpp"

namespace r1 {

struct ChunkSeconds {
    double forward = 0;
    double backward_input = 0;
    double backward_weight = 0;
    double overlapped = 0;  // 0: forward + backward_input + backward_weight
};
// A whole backward takes backward_input + backward_weight.
double seconds_of(ChunkKind kind, const ChunkSeconds& seconds);

// F = B = W = 1 and F&B = 3: used where the user gives no times.
inline constexpr ChunkSeconds kUnitChunkSeconds{1, 1, 1, 3};

struct ScheduleTimes {
    std::vector<std::vector<std::pair<double, double>>> chunks;  // start, end by rank, position
    double makespan = 0;
    std::vector<double> busy;    // by rank
    std::vector<double> bubble;  // by rank: makespan - busy
    double bubble_mean = 0;
};

// Every chunk starts as soon as its rank is free and what it needs is done: a forward needs that
// of the stage before; a backward needs its own forward and the input gradient of the stage
// after, which a whole or overlapped backward hands on at its end; a weight half needs its input
// half. Linear in the number of chunks. InternalError if the schedule deadlocks.
ScheduleTimes time_schedule(const Schedule& schedule, const ChunkSeconds& seconds);

}  // namespace r1
