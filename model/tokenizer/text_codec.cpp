#include "model/tokenizer/text_codec.hpp"

#include <utility>

#include "model/base/json.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

TokenizerConfig read_config_file(const fs::path& file) {
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
        return {};
    }
    Diagnostics diagnostics;
    TokenizerConfig config = read_tokenizer_config(Document::from_file(file), diagnostics);
    diagnostics.throw_if_errors();
    return config;
}

std::optional<Token> id_of(const Tokenizer& tokenizer, const std::optional<std::string>& content,
                           const std::string& file, const std::string& pointer) {
    if (!content) {
        return std::nullopt;
    }
    const std::optional<Token> id = tokenizer.added_token(*content);
    if (!id) {
        throw InputError(file, pointer + ": " + quote(*content) + " is no added token");
    }
    return id;
}

}  // namespace

TextCodec::TextCodec(std::variant<Tokenizer, ByteTokenizer> tokenizer, TokenizerConfig config,
                     std::string config_file)
    : tokenizer_(std::move(tokenizer)),
      config_(std::move(config)),
      config_file_(std::move(config_file)) {
    if (const auto* bpe = std::get_if<Tokenizer>(&tokenizer_)) {
        begin_token_ = id_of(*bpe, config_.begin_token, config_file_, "/bos_token");
        end_token_ = id_of(*bpe, config_.end_token, config_file_, "/eos_token");
    } else {
        const auto& bytes = std::get<ByteTokenizer>(tokenizer_);
        begin_token_ = bytes.begin_token();
        end_token_ = bytes.end_token();
    }
}

TextCodec TextCodec::for_model(const fs::path& folder, std::int64_t vocab_size) {
    const fs::path file = folder / "tokenizer.json";
    const fs::path config_file = folder / "tokenizer_config.json";
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
        if (vocab_size < 256) {
            throw InputError(file.string(),
                             "is missing, and a vocabulary of " + std::to_string(vocab_size) +
                                 " tokens is too small for text by bytes; give token ids instead");
        }
        return {ByteTokenizer(vocab_size), {}, config_file.string()};
    }
    Tokenizer tokenizer = Tokenizer::from_file(file);
    if (tokenizer.size() > vocab_size) {
        throw InputError(file.string(), "has ids up to " + std::to_string(tokenizer.size() - 1) +
                                            ", the model's vocab_size is " +
                                            std::to_string(vocab_size));
    }
    return {std::move(tokenizer), read_config_file(config_file), config_file.string()};
}

std::vector<Token> TextCodec::encode(std::string_view text) const {
    return std::visit([&](const auto& tokenizer) { return tokenizer.encode(text); }, tokenizer_);
}

std::string_view TextCodec::bytes(Token token, SpecialTokens special) const {
    if (const auto* bpe = std::get_if<Tokenizer>(&tokenizer_)) {
        return bpe->bytes(token, special);
    }
    return std::get<ByteTokenizer>(tokenizer_).bytes(token);
}

std::string TextCodec::decode(std::span<const Token> tokens, SpecialTokens special) const {
    Utf8Stream stream;
    std::string out;
    for (const Token token : tokens) {
        out += stream.put(bytes(token, special));
    }
    return out + stream.finish();
}

std::vector<Token> TextCodec::encode_chat(std::span<const ChatMessage> messages,
                                          GenerationPrompt prompt) const {
    require_r1_template(config_, config_file_);
    return encode(render_r1_chat(messages, prompt));
}

}  // namespace r1
