#include "model/timeline/timeline_json.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "model/base/json.hpp"

namespace r1 {

namespace {

Json graph_json(const ExecutionGraph& graph) {
    Json items = Json::array();
    for (const Item& item : graph.programs().front().items) {
        Json ops = Json::array();
        for (const Op& op : graph.chunk(item.chunk).ops) {
            ops.push_back({{"kind", kind_name(op)},
                           {"stream", name(op.stream)},
                           {"phase", name(op.phase)},
                           {"layer", op.layer}});
        }
        items.push_back({{"kind", name(item.kind)}, {"ops", std::move(ops)}});
    }
    return {{"hash", graph.hash().hex()}, {"items", std::move(items)}};
}

}  // namespace

Json timeline_json(const std::vector<TimelinePart>& parts, bool measured) {
    TimePs begin = std::numeric_limits<TimePs>::max();
    for (const TimelinePart& part : parts) {
        for (const Interval& interval : part.intervals) {
            begin = std::min(begin, interval.start);
        }
    }
    std::map<std::string, std::size_t> indices;
    Json graphs = Json::array();
    Json intervals = Json::array();
    for (const TimelinePart& part : parts) {
        const auto [entry, is_new] = indices.try_emplace(part.graph.hash().hex(), graphs.size());
        if (is_new) {
            graphs.push_back(graph_json(part.graph));
        }
        for (const Interval& i : part.intervals) {
            intervals.push_back(
                {entry->second, i.op.item, i.op.op, i.iteration, i.start - begin, i.end - begin});
        }
    }
    return {{"schema", "r1sim.timeline/1"},
            {"measured", measured},
            {"graphs", std::move(graphs)},
            {"columns", {"graph", "item", "op", "iteration", "start_ps", "end_ps"}},
            {"intervals", std::move(intervals)}};
}

}  // namespace r1
