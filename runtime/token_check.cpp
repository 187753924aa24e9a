#include "runtime/token_check.hpp"

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"

namespace r1 {

void check_token_ids(const ModelConfig& config, const std::vector<std::int32_t>& tokens,
                     const std::string& what, std::int64_t length) {
    if (tokens.empty()) {
        throw InputError(what, "is empty: there must be at least one token");
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] < 0 || tokens[i] >= config.vocab_size) {
            const auto at = static_cast<std::int64_t>(i);
            const bool several = length > 0 && length < static_cast<std::int64_t>(tokens.size());
            throw InputError(what,
                             fmt::format("token {} at position {}{} is not in the vocabulary of {}",
                                         tokens[i], several ? at % length : at,
                                         several ? fmt::format(" of sequence {}", at / length) : "",
                                         config.vocab_size));
        }
    }
}

void check_length(const ModelConfig& config, std::int64_t tokens, const std::string& what) {
    if (config.max_position_embeddings > 0 && tokens > config.max_position_embeddings) {
        throw InputError(what, fmt::format("{} tokens exceed the model's {} positions", tokens,
                                           config.max_position_embeddings));
    }
}

}  // namespace r1
