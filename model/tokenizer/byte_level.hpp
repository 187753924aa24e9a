// GPT-2's alphabet: each byte written as a printable character, so that vocabularies are text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace r1 {

// The character of a byte, in UTF-8: itself if printable ('a', '!', 'é'), else one of U+0100…U+0143
// (' ' is 'Ġ').
const std::string& byte_character(std::uint8_t byte);

// Bytes as the vocabulary spells them.
std::string to_byte_level(std::string_view bytes);

// The bytes of a vocabulary entry; nullopt if it holds a character that stands for no byte, as the
// special tokens do. `text` is valid UTF-8.
std::optional<std::string> from_byte_level(std::string_view text);

}  // namespace r1
