#include "runtime/sequences.hpp"

namespace r1 {

std::vector<std::int32_t> shifted(const std::vector<std::int32_t>& tokens, std::int64_t length,
                                  std::int64_t shift, std::int32_t fill) {
    std::vector<std::int32_t> result(tokens.size(), fill);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const std::int64_t position = static_cast<std::int64_t>(i) % length;
        if (position + shift < length) {
            result[i] = tokens[i + static_cast<std::size_t>(shift)];
        }
    }
    return result;
}

InputValues training_inputs(const std::vector<std::int32_t>& tokens, std::int64_t length) {
    return {{"tokens", tokens},
            {"labels", shifted(tokens, length, 1, -1)},
            {"mtp.tokens", shifted(tokens, length, 1, 0)},
            {"mtp.labels", shifted(tokens, length, 2, -1)}};
}

}  // namespace r1
