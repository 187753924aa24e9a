#include "model/tokenizer/byte_tokenizer.hpp"

#include <array>

#include "model/base/diagnostics.hpp"
#include "model/tokenizer/utf8.hpp"

namespace r1 {

namespace {

constexpr std::array<char, 256> make_bytes() {
    std::array<char, 256> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<char>(i);
    }
    return bytes;
}
constexpr std::array<char, 256> kBytes = make_bytes();

}  // namespace

ByteTokenizer::ByteTokenizer(std::int64_t vocab_size) : has_specials_(vocab_size > kEnd) {
    if (vocab_size < static_cast<std::int64_t>(kBytes.size())) {
        throw InputError("", "a vocabulary of " + std::to_string(vocab_size) +
                                 " tokens is too small for text: without a tokenizer.json a token "
                                 "is a byte, of which there are 256; give token ids instead");
    }
}

std::vector<Token> ByteTokenizer::encode(std::string_view text) const {
    std::vector<Token> tokens;
    tokens.reserve(text.size());
    for (const char byte : text) {
        tokens.push_back(static_cast<unsigned char>(byte));
    }
    return tokens;
}

std::string_view ByteTokenizer::bytes(Token token) const {
    const auto index = static_cast<std::size_t>(token);
    return token >= 0 && index < kBytes.size() ? std::string_view(&kBytes[index], 1)
                                               : std::string_view();
}

std::string ByteTokenizer::decode(std::span<const Token> tokens) const {
    Utf8Stream stream;
    std::string out;
    for (const Token token : tokens) {
        out += stream.put(bytes(token));
    }
    return out + stream.finish();
}

std::optional<Token> ByteTokenizer::begin_token() const {
    return has_specials_ ? std::optional<Token>(kBegin) : std::nullopt;
}

std::optional<Token> ByteTokenizer::end_token() const {
    return has_specials_ ? std::optional<Token>(kEnd) : std::nullopt;
}

}  // namespace r1
