// A schedule drawn in the terminal: one line a pipeline rank, time from left to right.
#pragma once

#include <string>

#include "model/schedule/schedule.hpp"
#include "model/schedule/schedule_times.hpp"

namespace r1 {

struct GanttOptions {
    int width = 100;              // columns of a line, at least kGanttWidthMin
    bool color = false;           // directions by ANSI color instead of by case
    std::string time_unit = "s";  // "units" when kUnitChunkSeconds stands in for measured times
};
inline constexpr int kGanttWidthMin = 40;

// The lines of the ranks, a legend and the totals (makespan, mean bubble in time and per cent). A
// column shows what fills most of its share of the makespan, '.' if that is nothing. The legend
// and the totals are not cut to the width.
std::string draw_schedule(const Schedule& schedule, const ScheduleTimes& times,
                          const GanttOptions& options = {});

}  // namespace r1
