// A replayed step as its dependency graph alone, with the durations that the replay gave: what
// other speeds of resources make of it, without replaying it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/timeline/timeline.hpp"
#include "sim/work_times.hpp"

namespace r1 {

class RecordedStep {
public:
    // The DAG and the timeline of its replay; keeps neither.
    RecordedStep(const ReplayDag& dag, const Timeline& timeline);

    // The longest path. Each duration is divided by the speeds of what it goes by; waits for lanes
    // that the timeline does not show stay as they were. At speeds of 1 exactly the step's time.
    [[nodiscard]] TimePs step_time(const Speeds& speeds) const;

private:
    // A node of a lane, or what several lanes do at once.
    struct Event {
        TimePs lag = 0;  // from when all shown lanes are ready
        TimePs delay = 0;
        TimePs duration = 0;     // with the delay
        std::uint32_t work = 0;  // in works_
        std::uint32_t successors_end = 0;
    };
    friend class StepRecorder;

    std::vector<WorkTime> works_;
    std::vector<Event> events_;  // predecessors first
    std::vector<std::uint32_t> successors_;
};

}  // namespace r1
