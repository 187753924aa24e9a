#include "sim/sm_sharing.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace r1 {

namespace {

// Begin or end of a node.
struct NodeEdge {
    TimePs time = 0;
    bool begins = false;
    std::uint32_t node = 0;

    bool operator<(const NodeEdge& other) const {
        return std::tie(time, begins, node) < std::tie(other.time, other.begins, other.node);
    }
};

// Of all that computes on a lane, in order of time; ends come before begins.
std::vector<NodeEdge> edges_of(const ReplayDag& dag, const NodeIntervals& intervals,
                               std::uint32_t shown) {
    std::vector<NodeEdge> edges;
    const ReplayProgram& program = intervals.program(shown);
    for (std::uint32_t i = 0; i < program.size(); ++i) {
        const ReplayNode& node = program[i];
        if (node.kind != NodeKind::local || dag.locals[node.work].kind != LocalKind::compute) {
            continue;
        }
        // The gap before the first op is part of the node.
        const TimePs end = intervals.last(shown, node).end;
        const TimePs first = intervals.first(shown, node).start;
        const double gap = dag.segment(node).share_begin.front();
        const TimePs begin =
            gap < 1 ? first - std::llround(static_cast<double>(end - first) * gap / (1 - gap))
                    : first;
        if (begin < end) {
            edges.push_back({begin, true, i});
            edges.push_back({end, false, i});
        }
    }
    std::sort(edges.begin(), edges.end());
    return edges;
}

}  // namespace

SmSharing::SmSharing(const ReplayDag& dag, const NodeIntervals& intervals, const WorkTimes& works) {
    for (std::uint32_t shown = 0; shown < dag.shown.size(); ++shown) {
        shares_.emplace_back(intervals.program(shown).size());
        add_lane(dag, intervals, works, shown);
    }
}

// Of k nodes that run, each gets the SMs for 1 / k of the time.
void SmSharing::add_lane(const ReplayDag& dag, const NodeIntervals& intervals,
                         const WorkTimes& works, std::uint32_t shown) {
    struct Running {
        std::uint32_t node = 0;
        TimePs begin = 0;
        double away = 0;  // of its time, so far
        RateShares others;
    };
    std::vector<Running> running;
    TimePs now = 0;
    const auto rates = [&](const Running& each) -> const RateShares& {
        return works.all()[intervals.program(shown)[each.node].work].rates;
    };
    for (const NodeEdge& edge : edges_of(dag, intervals, shown)) {
        const double part = static_cast<double>(edge.time - now) /
                            static_cast<double>(std::max<std::size_t>(1, running.size()));
        for (Running& each : running) {
            for (const Running& other : running) {
                if (other.node != each.node) {
                    each.away += part;
                    each.others.compute += part * rates(other).compute;
                    each.others.memory += part * rates(other).memory;
                }
            }
        }
        now = edge.time;
        if (edge.begins) {
            running.push_back({edge.node, now, 0, {}});
            continue;
        }
        const auto found = std::find_if(running.begin(), running.end(), [&](const Running& each) {
            return each.node == edge.node;
        });
        const auto time = static_cast<double>(now - found->begin);
        shares_[shown][edge.node] = {1 - found->away / time,
                                     {found->others.compute / time, found->others.memory / time}};
        running.erase(found);
    }
}

}  // namespace r1
