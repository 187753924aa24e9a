#include "sim/engine_difference.hpp"

#include <algorithm>
#include <cstdlib>

#include "model/base/check.hpp"

namespace r1 {

EngineDifference engine_difference(const Timeline& reference, const Timeline& other) {
    R1_CHECK(reference.intervals.size() == other.intervals.size());
    TimePs most = 0;
    for (std::size_t i = 0; i < reference.intervals.size(); ++i) {
        const Interval& a = reference.intervals[i];
        const Interval& b = other.intervals[i];
        R1_CHECK(a.op == b.op);
        most = std::max({most, std::abs(a.start - b.start), std::abs(a.end - b.end)});
    }
    const TimePs step = reference.makespan();
    if (step == 0) {
        return {};
    }
    const auto share = [step](TimePs time) {
        return static_cast<double>(time) / static_cast<double>(step);
    };
    return {share(other.makespan() - step), share(most)};
}

}  // namespace r1
