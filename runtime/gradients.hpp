// Gradients of all parameters for given sequences: the training graph of one rank, executed.
#pragma once

#include <cstdint>
#include <vector>

#include "model/checkpoint/checkpoint.hpp"
#include "runtime/evaluate.hpp"

namespace r1 {

enum class GradientLoss : std::uint8_t { main, mtp };

// `loss`: mean cross-entropy over the predicted tokens, of the trunk or of the MTP module alone;
// `grad.<name>`: its derivative by each trained tensor of the checkpoint that it depends on.
// tokens: [sequences, sequence_length]. Throws InputError as evaluate() does, and if the model has
// no MTP module to ask for.
Evaluation evaluate_gradients(const Checkpoint& checkpoint, const std::vector<std::int32_t>& tokens,
                              std::int64_t sequences, GradientLoss loss,
                              const EvaluateOptions& options);

}  // namespace r1
