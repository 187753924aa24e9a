#include "model/timeline/measured.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "model/graph/dependencies.hpp"

namespace r1 {

Timeline one_iteration(const Timeline& timeline, std::int32_t iteration) {
    Timeline one{timeline.lanes, {}};
    TimePs begin = std::numeric_limits<TimePs>::max();
    for (const Interval& interval : timeline.intervals) {
        if (interval.iteration == iteration) {
            one.intervals.push_back({interval.op, 0, interval.start, interval.end});
            begin = std::min(begin, interval.start);
        }
    }
    for (Interval& interval : one.intervals) {
        interval.start -= begin;
        interval.end -= begin;
    }
    one.sort();
    return one;
}

void trim_receives(const ExecutionGraph& graph, Timeline& timeline) {
    const Instances& instances = graph.instances();
    const Dependencies dependencies(graph);
    std::map<RankId, std::uint32_t> lane_of;
    for (std::uint32_t lane = 0; lane < timeline.lanes.size(); ++lane) {
        lane_of[timeline.lanes[lane].rank] = lane;
    }
    for (Interval& interval : timeline.intervals) {
        const Lane& lane = timeline.lanes[interval.op.lane];
        const auto program = static_cast<std::uint32_t>(lane.program);
        const auto send = dependencies.send_of({program, interval.op.item, interval.op.op});
        if (!send) {
            continue;
        }
        const auto sender = lane_of.find(instances.rank(static_cast<std::int32_t>(send->program),
                                                        instances.replica_of(lane.rank)));
        const Interval* sent = sender == lane_of.end()
                                   ? nullptr
                                   : timeline.find({sender->second, send->item, send->op});
        if (sent != nullptr) {
            interval.start = std::clamp(sent->start, interval.start, interval.end);
        }
    }
}

}  // namespace r1
