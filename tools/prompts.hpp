// What `generate` continues: token ids, or text through the model's tokenizer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/tokenizer/text_codec.hpp"
#include "tools/cli.hpp"

namespace r1 {

struct Prompts {
    std::vector<std::vector<std::int32_t>> tokens;
    bool list = false;   // the answer lists sequences even if there is only one
    std::string source;  // names them in messages: a flag or a file
};

// Of --prompt, --prompts, --messages, --tokens or --input, one of which is there. Throws
// InputError.
Prompts read_prompts(const Invocation& invocation, const std::optional<TextCodec>& codec);

// The model's tokenizer. Text is an extra where tokens are given: then a model without a tokenizer
// and with fewer tokens than bytes has none. Throws InputError.
std::optional<TextCodec> codec_of(const Invocation& invocation, const ModelConfig& config);

}  // namespace r1
