// The tokenizer of models that have no tokenizer.json: a token is a byte.
//
// The rule, for a vocabulary of V >= 256 tokens: id b < 256 is byte b. If V >= 258, id 256 begins
// and id 257 ends a text. All other ids give no text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/bpe.hpp"

namespace r1 {

class ByteTokenizer {
public:
    static constexpr Token kBegin = 256;
    static constexpr Token kEnd = 257;

    // Throws InputError if there are less than 256 tokens.
    explicit ByteTokenizer(std::int64_t vocab_size);

    [[nodiscard]] std::vector<Token> encode(std::string_view text) const;
    // U+FFFD for bytes that make no character.
    [[nodiscard]] std::string decode(std::span<const Token> tokens) const;
    // The bytes of one token, for a Utf8Stream.
    [[nodiscard]] std::string_view bytes(Token token) const;

    [[nodiscard]] std::optional<Token> begin_token() const;
    [[nodiscard]] std::optional<Token> end_token() const;

private:
    bool has_specials_;
};

}  // namespace r1
