#include "tools/prompts.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/tokenizer/utf8.hpp"
#include "tools/model_options.hpp"

namespace r1 {

namespace {

std::vector<std::string> read_lines(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored)) {
        throw InputError(file, "is a folder, not a file");
    }
    if (!in) {
        throw InputError(file, "cannot be read");
    }
    std::vector<std::string> lines;
    std::string line;
    while (std::getline(in, line)) {
        if (!line.empty() && line.back() == '\r') {
            line.pop_back();
        }
        lines.push_back(line);
    }
    if (in.bad() || lines.empty()) {
        throw InputError(file, lines.empty() ? "holds no prompt" : "cannot be read");
    }
    return lines;
}

std::vector<Token> encode(const TextCodec& codec, const std::string& text, bool chat,
                          const std::string& name) {
    if (text.empty()) {
        throw InputError(name, "is empty: there must be at least one token");
    }
    if (const auto error = utf8_error(text)) {
        throw InputError(name, fmt::format("is not UTF-8 at byte {}", *error));
    }
    if (chat) {
        return codec.encode_chat(std::vector<ChatMessage>{{"user", text, std::nullopt}},
                                 GenerationPrompt::think);
    }
    std::vector<Token> tokens = codec.encode(text);
    if (codec.adds_begin_token() && codec.begin_token()) {
        tokens.insert(tokens.begin(), *codec.begin_token());
    }
    return tokens;
}

std::vector<Token> encode_messages(const TextCodec& codec, const std::string& file) {
    Diagnostics diagnostics;
    const Document document = Document::from_file(file);
    const std::vector<ChatMessage> messages = read_chat(document, "", diagnostics);
    diagnostics.throw_if_errors();
    if (messages.empty()) {
        throw InputError(file, "holds no message");
    }
    const std::vector<std::string> roles = {"system", "user", "assistant", "tool"};
    for (const ChatMessage& message : messages) {
        if (std::find(roles.begin(), roles.end(), message.role) == roles.end()) {
            throw InputError(file, "a message has the role " + quote(message.role) +
                                       ", the template knows system, user, assistant and tool" +
                                       did_you_mean(message.role, roles));
        }
    }
    return codec.encode_chat(messages, GenerationPrompt::think);
}

// The flag, or the file that it names.
std::string source_of(const Invocation& invocation) {
    for (const char* file : {"prompts", "messages", "input"}) {
        if (invocation.has(file)) {
            return invocation.text(file);
        }
    }
    return invocation.has("tokens") ? "--tokens" : "--prompt";
}

}  // namespace

Prompts read_prompts(const Invocation& invocation, const std::optional<TextCodec>& codec) {
    Prompts prompts;
    prompts.source = source_of(invocation);
    if (invocation.has("tokens")) {
        prompts.tokens.push_back(parse_tokens(invocation.text("tokens")));
    } else if (invocation.has("input")) {
        const TokenBatch batch = read_tokens(prompts.source);
        const auto length = static_cast<std::ptrdiff_t>(
            batch.ids.size() /
            static_cast<std::size_t>(std::max<std::int64_t>(batch.sequences, 1)));
        for (std::int64_t s = 0; s < batch.sequences; ++s) {
            const auto begin = batch.ids.begin() + static_cast<std::ptrdiff_t>(s) * length;
            prompts.tokens.emplace_back(begin, begin + length);
        }
        prompts.list = batch.sequences != 1;
    } else if (invocation.has("messages")) {
        prompts.tokens.push_back(encode_messages(*codec, prompts.source));
    } else if (invocation.has("prompt")) {
        prompts.tokens.push_back(
            encode(*codec, invocation.text("prompt"), invocation.flag("chat"), prompts.source));
    } else {
        prompts.list = true;
        std::size_t number = 0;
        for (const std::string& line : read_lines(prompts.source)) {
            prompts.tokens.push_back(encode(*codec, line, invocation.flag("chat"),
                                            fmt::format("{}:{}", prompts.source, ++number)));
        }
    }
    return prompts;
}

std::optional<TextCodec> codec_of(const Invocation& invocation, const ModelConfig& config) {
    const std::string folder = model_folder(invocation.text("model"));
    const bool needs_text = !invocation.has("tokens") && !invocation.has("input");
    std::error_code ignored;
    if (!needs_text && config.vocab_size < 256 &&
        !std::filesystem::exists(std::filesystem::path(folder) / "tokenizer.json", ignored)) {
        return std::nullopt;
    }
    return TextCodec::for_model(folder, config.vocab_size);
}

}  // namespace r1
