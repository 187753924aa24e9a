#include "sim/node_intervals.hpp"

#include "model/base/check.hpp"

namespace r1 {

NodeIntervals::NodeIntervals(const ReplayDag& dag, const Timeline& timeline)
    : dag_(dag), timeline_(timeline) {
    std::size_t begin = 0;
    for (std::uint32_t shown = 0; shown < dag.shown.size(); ++shown) {
        std::vector<std::size_t>& items = items_.emplace_back(dag.item_offsets(program(shown)));
        for (std::size_t& item : items) {
            item += begin;
        }
        begin = items.back();
    }
    R1_CHECK(begin == timeline.intervals.size());
}

}  // namespace r1
