// Text to tokens and back for a checkpoint, with whichever tokenizer it has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/tokenizer/byte_tokenizer.hpp"
#include "model/tokenizer/chat_template.hpp"
#include "model/tokenizer/tokenizer.hpp"

namespace r1 {

class TextCodec {
public:
    // The folder's tokenizer.json and tokenizer_config.json, or the byte tokenizer where the first
    // is missing. Throws InputError, also if the tokenizer has tokens that the model has not.
    static TextCodec for_model(const std::filesystem::path& folder, std::int64_t vocab_size);

    // Added tokens in the text count; nothing is put before it.
    [[nodiscard]] std::vector<Token> encode(std::string_view text) const;
    [[nodiscard]] std::string decode(std::span<const Token> tokens,
                                     SpecialTokens special = SpecialTokens::keep) const;
    [[nodiscard]] bool is_bytes() const {  // a token is a byte, or begins or ends a text
        return std::holds_alternative<ByteTokenizer>(tokenizer_);
    }
    // The bytes of one token, for a Utf8Stream.
    [[nodiscard]] std::string_view bytes(Token token,
                                         SpecialTokens special = SpecialTokens::keep) const;

    // What starts a text and what ends one; nullopt if the files do not say. For plain text the
    // first goes in front where adds_begin_token(); R1's chat text holds it already.
    [[nodiscard]] std::optional<Token> begin_token() const { return begin_token_; }
    [[nodiscard]] std::optional<Token> end_token() const { return end_token_; }
    [[nodiscard]] bool adds_begin_token() const { return config_.adds_begin_token; }

    // Throws InputError unless the model comes with R1's chat template.
    [[nodiscard]] std::vector<Token> encode_chat(std::span<const ChatMessage> messages,
                                                 GenerationPrompt prompt) const;

private:
    TextCodec(std::variant<Tokenizer, ByteTokenizer> tokenizer, TokenizerConfig config,
              std::string config_file);

    std::variant<Tokenizer, ByteTokenizer> tokenizer_;
    TokenizerConfig config_;
    std::string config_file_;
    std::optional<Token> begin_token_;
    std::optional<Token> end_token_;
};

}  // namespace r1
