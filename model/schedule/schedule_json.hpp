// A schedule as JSON, in the format of the golden schedules.
#pragma once

#include "model/base/json_fwd.hpp"
#include "model/schedule/schedule.hpp"
#include "model/schedule/schedule_times.hpp"

namespace r1 {

// schedule, pipeline_ranks, micro_batches, virtual_stages (interleaved), legend, ranks.
Json schedule_to_json(const Schedule& schedule);
// With makespan_s, bubble_s (by rank) and bubble_mean_s.
Json schedule_to_json(const Schedule& schedule, const ScheduleTimes& times);

}  // namespace r1
