// The bytes that ranks send in one execution of a graph, from its ops and a recorded binding: what
// a communicator counts, derived without one.
#pragma once

#include <vector>

#include "model/graph/graph.hpp"
#include "runtime/communicator.hpp"
#include "runtime/exchange_record.hpp"

namespace r1 {

// Of all ranks together; node = rank / ranks_per_node. `exchanges`: of every rank, expert layer and
// micro-batch. Holds for runs that store what the graph says (BF16, not FP32).
Traffic graph_traffic(const ExecutionGraph& graph, const std::vector<ExchangeRecord>& exchanges,
                      int ranks_per_node);

}  // namespace r1
