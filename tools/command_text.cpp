#include "tools/command_text.hpp"

#include <algorithm>
#include <sstream>

namespace r1 {

namespace {

// "a|b|c" in lower case; "[WHAT=]PERCENT" and "FILE" are no words to choose from.
std::vector<std::string> words_of(const std::string& value) {
    const bool is_choice =
        value.find('|') != std::string::npos && std::all_of(value.begin(), value.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '|' || c == '-';
        });
    std::vector<std::string> words;
    std::istringstream stream(is_choice ? value : "");
    for (std::string word; std::getline(stream, word, '|');) {
        words.push_back(word);
    }
    return words;
}

OptionText text_of(const po::option_description& option) {
    OptionText text;
    text.name = option.long_name();
    const std::string display =
        option.canonical_display_name(po::command_line_style::allow_dash_for_short);
    text.letter = display.size() == 2 && display.front() == '-' ? display.substr(1) : "";
    text.description = option.description();
    if (option.semantic()->max_tokens() > 0) {
        const std::string name = option.semantic()->name();  // "fp32|bf16 (=fp32)"
        const std::size_t end = name.find(" (=");
        text.value = name.substr(0, end);
        if (end != std::string::npos) {
            text.otherwise = name.substr(end + 3, name.size() - end - 4);
        }
        text.choices = words_of(text.value);
    }
    return text;
}

std::vector<OptionText> texts_of(const po::options_description& options,
                                 const std::string& without) {
    std::vector<OptionText> texts;
    for (const auto& option : options.options()) {
        if (option->long_name() != without) {
            texts.push_back(text_of(*option));
        }
    }
    return texts;
}

}  // namespace

std::vector<OptionText> own_option_texts(const Command& command) {
    return texts_of(own_options(command), command.positional);
}

std::vector<OptionText> shared_option_texts() { return texts_of(shared_options(), ""); }

}  // namespace r1
