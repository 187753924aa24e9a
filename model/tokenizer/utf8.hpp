// UTF-8 as Unicode defines it (no surrogates, no overlong forms).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace r1 {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// What stands at the start of a text that is not empty.
struct Utf8Step {
    enum class Kind { character, broken, unfinished };
    Kind kind;
    std::size_t length;  // of the character, or of the longest start of one; at least 1
};
Utf8Step utf8_step(std::string_view text);

// Where the first byte stands that belongs to no character; nullopt if there is none.
std::optional<std::size_t> utf8_error(std::string_view text);

char32_t decode_character(std::string_view character);  // exactly one whole character
std::string encode_character(char32_t code);

// Turns bytes that arrive in pieces into text: only whole characters come out. U+FFFD stands for
// each longest start of a character that does not go on (Unicode 15, sec. 3.9, as browsers and
// Rust's from_utf8_lossy do it).
class Utf8Stream {
public:
    // The text that `bytes` complete.
    std::string put(std::string_view bytes);
    // The end: what is left unfinished becomes U+FFFD. The stream can be used again.
    std::string finish();

private:
    std::string pending_;  // at most three bytes between calls
};

}  // namespace r1
