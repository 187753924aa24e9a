// Source `captured`: the loads of a run's exchanges, from the binding that it wrote
// (`r1sim run --binding`).
#pragma once

#include "model/base/json_fwd.hpp"
#include "model/routing/expert_routing.hpp"

namespace r1 {

// Of the binding's last step. Throws InputError with every problem: a step of another graph, wrong
// sizes, exchanges that are missing or there twice.
ExpertRouting captured_routing(const Document& binding, const ExecutionGraph& graph,
                               const ModelConfig& config, const ExpertGroupShape& group);

}  // namespace r1
