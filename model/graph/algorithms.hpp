// Algorithms over the whole graph, item by item and op by op.
#pragma once

#include <functional>

#include "model/base/units.hpp"
#include "model/graph/dependencies.hpp"
#include "model/graph/graph.hpp"

namespace r1 {

// The longest path through the ops of all programs, one rank a program: no timeline in which ops
// take at least `duration` is shorter. A collective that joins programs starts when all its members
// could. A receive takes no time of its own (`duration` is not asked): it ends when its send does.
TimePs critical_path_length(const ExecutionGraph& graph,
                            const std::function<TimePs(ProgramOp)>& duration);

}  // namespace r1
