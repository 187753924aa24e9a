// Token ids of the user against the model that is to read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.hpp"

namespace r1 {

// Throws InputError, naming `what`, if there are none or if one is not in the vocabulary. Several
// sequences lie one after the other, of `length` tokens each; 0: there is one.
void check_token_ids(const ModelConfig& config, const std::vector<std::int32_t>& tokens,
                     const std::string& what, std::int64_t length = 0);
// Throws InputError if a sequence of that many tokens exceeds the model's positions.
void check_length(const ModelConfig& config, std::int64_t tokens, const std::string& what);

}  // namespace r1
