// What needs more than one part of a scenario: sizes that must fit each other, and what follows
// from them.
#pragma once

#include "model/scenario/scenario.hpp"

namespace r1 {

// Fills in what the scenario leaves open: data_parallel, stage_layers, micro_batches, and for an
// expert all-to-all what DeepEP's tests do. Problems go to `diagnostics`.
void check_across_parts(const Document& document, Diagnostics& diagnostics, Scenario& scenario);

}  // namespace r1
