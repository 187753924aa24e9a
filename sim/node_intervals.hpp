// Where the nodes of a DAG stand in the timeline of its replay.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/replay_dag.hpp"

namespace r1 {

class NodeIntervals {
public:
    // Keeps references to both.
    NodeIntervals(const ReplayDag& dag, const Timeline& timeline);

    [[nodiscard]] const ReplayProgram& program(std::uint32_t shown) const {
        return dag_.programs[dag_.program_of(dag_.shown[shown])];
    }
    // Of the first and of the last op of a node of a shown lane.
    [[nodiscard]] const Interval& first(std::uint32_t shown, const ReplayNode& node) const {
        return of(shown, node, dag_.segment(node).ops.front());
    }
    [[nodiscard]] const Interval& last(std::uint32_t shown, const ReplayNode& node) const {
        return of(shown, node, dag_.segment(node).ops.back());
    }

private:
    [[nodiscard]] const Interval& of(std::uint32_t shown, const ReplayNode& node,
                                     OpIndex op) const {
        return timeline_.intervals[items_[shown][node.item] + op.index()];
    }

    const ReplayDag& dag_;
    const Timeline& timeline_;
    std::vector<std::vector<std::size_t>> items_;  // by shown lane: where each begins
};

}  // namespace r1
