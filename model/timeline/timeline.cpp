#include "model/timeline/timeline.hpp"

#include <algorithm>

namespace r1 {

TimePs Timeline::makespan() const {
    TimePs latest = 0;
    for (const Interval& interval : intervals) {
        latest = std::max(latest, interval.end);
    }
    return latest;
}

const Interval* Timeline::find(OpRef op) const {
    const auto found =
        std::lower_bound(intervals.begin(), intervals.end(), op,
                         [](const Interval& interval, OpRef key) { return interval.op < key; });
    return found != intervals.end() && found->op == op ? &*found : nullptr;
}

void Timeline::sort() {
    std::stable_sort(intervals.begin(), intervals.end(),
                     [](const Interval& a, const Interval& b) { return a.op < b.op; });
}

}  // namespace r1
