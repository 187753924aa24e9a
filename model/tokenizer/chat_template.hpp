// Conversations as DeepSeek-R1 was trained on them: its chat template, in C++.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

struct ToolCall {
    std::string type;  // "function"
    std::string name;
    std::string arguments;  // JSON text
};

struct ChatMessage {
    std::string role;  // system, user, assistant, tool; others are left out of the text
    std::optional<std::string> content;  // none: null
    std::optional<std::vector<ToolCall>> tool_calls;
};

// Reads the list of messages at `pointer`, as OpenAI's API and Hugging Face write it.
std::vector<ChatMessage> read_chat(const Document& document, const std::string& pointer,
                                   Diagnostics& diagnostics);

inline constexpr std::string_view kR1BeginOfSentence = "<｜begin▁of▁sentence｜>";
inline constexpr std::string_view kR1EndOfSentence = "<｜end▁of▁sentence｜>";

enum class GenerationPrompt { none, think };  // think: the text ends with the opening of an answer

// The text of a conversation, begin-of-sentence token included: encode it without adding another.
std::string render_r1_chat(std::span<const ChatMessage> messages, GenerationPrompt prompt);

// Whether a template text is R1's, which is what render_r1_chat() implements; spaces between its
// tokens do not count.
bool is_r1_template(std::string_view chat_template);

// tokenizer_config.json, as far as this program uses it.
struct TokenizerConfig {
    std::optional<std::string> begin_token;  // bos_token
    std::optional<std::string> end_token;    // eos_token
    bool adds_begin_token = false;           // add_bos_token: the library puts it in front
    std::optional<std::string> chat_template;
};
TokenizerConfig read_tokenizer_config(const Document& document, Diagnostics& diagnostics);

// Throws InputError unless the file's template is R1's.
void require_r1_template(const TokenizerConfig& config, const std::string& file);

}  // namespace r1
