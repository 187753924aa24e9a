// Token ids and labels of whole sequences, as the graph's inputs are named.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/executor.hpp"

namespace r1 {

// tokens[t + shift] within each sequence of `length`, `fill` behind its end.
std::vector<std::int32_t> shifted(const std::vector<std::int32_t>& tokens, std::int64_t length,
                                  std::int64_t shift, std::int32_t fill);

// "tokens", "labels", "mtp.tokens", "mtp.labels": the last token of a sequence has no label, the
// last two have none of the MTP module.
InputValues training_inputs(const std::vector<std::int32_t>& tokens, std::int64_t length);

}  // namespace r1
