// Hugging Face's tokenizer.json: byte-level BPE, as DeepSeek publishes it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/tokenizer/bpe.hpp"
#include "model/tokenizer/split_pattern.hpp"

namespace r1 {

struct AddedToken {
    Token id = 0;
    std::string content;
    bool special = false;     // decoding can leave it out
    bool normalized = false;  // looked for after the others
};

struct TokenizerParts {
    std::vector<std::string> entries;  // by id, in GPT-2's alphabet; empty: no such id
    std::array<Token, 256> byte_tokens{};
    std::vector<Merge> merges;         // ascending by rank
    std::vector<SplitPattern> splits;  // each works on the pieces left by the one before
    std::vector<AddedToken> added;     // each is an entry, too
};

// Reads a tokenizer. Throws InputError with all problems: what this program does not implement
// (another model, normaliser, pre-tokeniser, …) is refused, never ignored.
TokenizerParts read_tokenizer_parts(const Document& document);

}  // namespace r1
