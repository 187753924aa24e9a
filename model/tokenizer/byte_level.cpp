#include "model/tokenizer/byte_level.hpp"

#include <array>

#include "model/base/check.hpp"
#include "model/tokenizer/utf8.hpp"

namespace r1 {

namespace {

constexpr int kNoByte = -1;

struct Alphabet {
    std::array<std::string, 256> characters;  // by byte
    std::array<int, 0x144> bytes{};           // by code point
};

// encoder.py of GPT-2 (bytes_to_unicode).
Alphabet make_alphabet() {
    Alphabet alphabet;
    alphabet.bytes.fill(kNoByte);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const bool is_printable =
            (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        const char32_t code = is_printable ? byte : next++;
        alphabet.characters[byte] = encode_character(code);
        alphabet.bytes[code] = static_cast<int>(byte);
    }
    R1_CHECK(next == alphabet.bytes.size());
    return alphabet;
}

const Alphabet& alphabet() {
    static const Alphabet kAlphabet = make_alphabet();
    return kAlphabet;
}

}  // namespace

const std::string& byte_character(std::uint8_t byte) { return alphabet().characters[byte]; }

std::string to_byte_level(std::string_view bytes) {
    std::string out;
    for (const char byte : bytes) {
        out += byte_character(static_cast<std::uint8_t>(byte));
    }
    return out;
}

std::optional<std::string> from_byte_level(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const std::size_t length = utf8_step(text).length;
        const char32_t code = decode_character(text.substr(0, length));
        if (code >= alphabet().bytes.size() || alphabet().bytes[code] == kNoByte) {
            return std::nullopt;
        }
        out += static_cast<char>(alphabet().bytes[code]);
        text.remove_prefix(length);
    }
    return out;
}

}  // namespace r1
