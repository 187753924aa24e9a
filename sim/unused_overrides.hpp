// Overridden links that a step sends nothing over: a typing error in a node or a plane would go
// unnoticed otherwise.
#pragma once

#include <string>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/scenario/scenario.hpp"
#include "sim/hardware/fabric.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

// A warning for each. A removed link counts as used where ranks had to take another for it.
std::vector<std::string> unused_override_warnings(const Scenario& scenario,
                                                  const Topology& topology, const Fabric& fabric,
                                                  const ExecutionGraph& graph,
                                                  const ReplayDag& dag);

}  // namespace r1
