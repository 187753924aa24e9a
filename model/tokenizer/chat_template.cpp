#include "model/tokenizer/chat_template.hpp"

#include <xxhash.h>

#include <array>
#include <cstdint>

#include "model/base/check.hpp"
#include "model/base/json.hpp"

namespace r1 {

namespace {

constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";
constexpr std::string_view kThinkOpen = "<think>\n";
constexpr std::string_view kThinkClose = "</think>";
constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>";
constexpr std::string_view kCallsEnd = "<｜tool▁calls▁end｜>";
constexpr std::string_view kCallBegin = "<｜tool▁call▁begin｜>";
constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";
constexpr std::string_view kCallSeparator = "<｜tool▁sep｜>";
constexpr std::string_view kOutputsBegin = "<｜tool▁outputs▁begin｜>";
constexpr std::string_view kOutputsEnd = "<｜tool▁outputs▁end｜>";
constexpr std::string_view kOutputBegin = "<｜tool▁output▁begin｜>";
constexpr std::string_view kOutputEnd = "<｜tool▁output▁end｜>";

// The template keeps its state in a namespace `ns`; the members here have its names. is_first and
// is_output_first are never reset, so a second round of tool calls is written differently: that is
// what the model has seen.
class R1Chat {
public:
    std::string render(std::span<const ChatMessage> messages, GenerationPrompt prompt) && {
        out_ = kR1BeginOfSentence;
        system_messages(messages);
        for (const ChatMessage& message : messages) {
            if (message.role == "user") {
                is_tool_ = false;
                add(kUser, content(message));
            } else if (message.role == "assistant" && message.tool_calls) {
                tool_calls(message);
            } else if (message.role == "assistant") {
                answer(message);
            } else if (message.role == "tool") {
                tool_output(message);
            }
        }
        if (is_tool_) {
            add(kOutputsEnd);
        } else if (prompt == GenerationPrompt::think) {
            add(kAssistant, kThinkOpen);
        }
        return std::move(out_);
    }

private:
    template <class... Parts>
    void add(const Parts&... parts) {
        (out_.append(parts), ...);
    }

    static const std::string& content(const ChatMessage& message) {
        R1_CHECK(message.content.has_value());  // read_chat() lets nothing else through
        return *message.content;
    }

    void system_messages(std::span<const ChatMessage> messages) {
        bool is_first = true;
        for (const ChatMessage& message : messages) {
            if (message.role == "system") {
                add(is_first ? "" : "\n\n", content(message));
                is_first = false;
            }
        }
    }

    void tool_calls(const ChatMessage& message) {
        is_tool_ = false;
        for (const ToolCall& call : *message.tool_calls) {
            if (is_first_) {
                add("\n");
            } else {
                add(kAssistant, message.content.value_or(""), kCallsBegin);
                is_first_ = true;
            }
            add(kCallBegin, call.type, kCallSeparator, call.name, "\n```json\n", call.arguments,
                "\n```", kCallEnd);
        }
        add(kCallsEnd, kR1EndOfSentence);
    }

    void answer(const ChatMessage& message) {
        if (is_tool_) {
            add(kOutputsEnd, content(message), kR1EndOfSentence);
            is_tool_ = false;
            return;
        }
        const std::string& text = content(message);
        const std::size_t thought = text.rfind(kThinkClose);
        add(kAssistant,
            thought == std::string::npos ? text : text.substr(thought + kThinkClose.size()),
            kR1EndOfSentence);
    }

    void tool_output(const ChatMessage& message) {
        is_tool_ = true;
        add(is_output_first_ ? kOutputsBegin : "", kOutputBegin, content(message), kOutputEnd);
        is_output_first_ = false;
    }

    std::string out_;
    bool is_first_ = false;  // the name is the template's; true: a call was written
    bool is_tool_ = false;
    bool is_output_first_ = true;
};

std::vector<ToolCall> read_tool_calls(ObjectReader& message) {
    std::vector<ToolCall> calls;
    for (ObjectReader& reader : message.objects("tool_calls", true)) {
        ToolCall call;
        reader.required("type", call.type);
        if (std::optional<ObjectReader> function = reader.object("function", true)) {
            function->required("name", call.name);
            function->required("arguments", call.arguments);
        }
        calls.push_back(std::move(call));
    }
    return calls;
}

ChatMessage read_message(ObjectReader& reader) {
    ChatMessage message;
    reader.required("role", message.role);
    const bool has_calls = message.role == "assistant" && reader.raw("tool_calls") != nullptr;
    const bool is_known = message.role == "system" || message.role == "user" ||
                          message.role == "assistant" || message.role == "tool";
    if (has_calls) {
        message.tool_calls = read_tool_calls(reader);
        if (reader.raw("content") == nullptr) {
            reader.error("", "a message with tool_calls needs a content: a string or null");
        }
    }
    if (is_known && (!has_calls || reader.has("content"))) {
        message.content.emplace();
        reader.required("content", *message.content);
    }
    return message;
}

// Without the blanks outside of quotes, which mean nothing in a template expression.
std::string without_blanks(std::string_view text) {
    std::string out;
    bool in_quotes = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_quotes && c == '\\' && i + 1 < text.size()) {
            out += c;
            out += text[++i];
            continue;
        }
        in_quotes = (c == '\'') != in_quotes;
        if (in_quotes || (c != ' ' && c != '\n' && c != '\t' && c != '\r')) {
            out += c;
        }
    }
    return out;
}

// A token is a string, or an object whose "content" is one (AddedToken).
std::optional<std::string> read_token(const Document& document, const std::string& pointer,
                                      Diagnostics& diagnostics) {
    const Json* value = document.find(pointer);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    const Json* content = value->is_object() ? document.find(pointer + "/content") : value;
    if (content == nullptr || !content->is_string()) {
        diagnostics.error(document.diagnostic(pointer, "must be a string or an added token"));
        return std::nullopt;
    }
    return content->get<std::string>();
}

}  // namespace

std::vector<ChatMessage> read_chat(const Document& document, const std::string& pointer,
                                   Diagnostics& diagnostics) {
    std::vector<ChatMessage> messages;
    const Json* list = document.find(pointer);
    if (list == nullptr || !list->is_array()) {
        diagnostics.error(document.diagnostic(pointer, "must be a list of messages"));
        return messages;
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
        ObjectReader reader(document, pointer + "/" + std::to_string(i), diagnostics);
        if (reader.is_object()) {
            messages.push_back(read_message(reader));
        }
    }
    return messages;
}

std::string render_r1_chat(std::span<const ChatMessage> messages, GenerationPrompt prompt) {
    return R1Chat().render(messages, prompt);
}

bool is_r1_template(std::string_view chat_template) {
    // XXH3-64 of the published template, without_blanks().
    constexpr std::uint64_t kR1Template = 0xEEC15387FEC18392;
    const std::string text = without_blanks(chat_template);
    return XXH3_64bits(text.data(), text.size()) == kR1Template;
}

TokenizerConfig read_tokenizer_config(const Document& document, Diagnostics& diagnostics) {
    TokenizerConfig config;
    ObjectReader reader(document, "", diagnostics);
    if (!reader.is_object()) {
        return config;
    }
    config.begin_token = read_token(document, "/bos_token", diagnostics);
    config.end_token = read_token(document, "/eos_token", diagnostics);
    reader.optional("add_bos_token", config.adds_begin_token);
    // A list of named templates is what no model of this family has.
    if (reader.has("chat_template")) {
        config.chat_template.emplace();
        reader.required("chat_template", *config.chat_template);
    }
    return config;
}

void require_r1_template(const TokenizerConfig& config, const std::string& file) {
    if (!config.chat_template) {
        throw InputError(file, "/chat_template: there is none; this model takes plain text");
    }
    if (!is_r1_template(*config.chat_template)) {
        throw InputError(file,
                         "/chat_template: is not that of DeepSeek-R1, the only one that this "
                         "program implements; give the text as the model is to see it");
    }
}

}  // namespace r1
