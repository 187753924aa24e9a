// Training setups of small models, for tests that build graphs.
#pragma once

#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "model/workload/train.hpp"

namespace r1::test {

ModelConfig model_config(const Json& json);

// The tiny preset on `ranks` pipeline ranks, data-parallel 4, expert-parallel 2, one sequence of
// 128 tokens a micro-batch; `stage_layers` is the default split.
TrainingSetup tiny_setup(ScheduleKind schedule, int ranks, int micro_batches,
                         const Json& model = model_preset("tiny-r1"));

// Architectures that differ from the tiny preset as their names say; "R1" is the preset.
const std::vector<std::string>& variants();
Json variant(const std::string& name);

// Bit 0: RMSNorm, bit 1: MLA up-projections, bit 2: SwiGLU.
Recompute recompute_of(int bits);

// Symbols of a micro-batch where each of a rank's tokens brings it top-k rows.
SymbolValues balanced(const LayerSizes& sizes);

}  // namespace r1::test
