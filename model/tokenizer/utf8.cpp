#include "model/tokenizer/utf8.hpp"

#include "model/base/check.hpp"

namespace r1 {

namespace {

struct Lead {
    std::size_t length;               // 0: starts no character
    unsigned char second_min = 0x80;  // range of the second byte; others are 80..BF
    unsigned char second_max = 0xBF;
};

// Unicode 15, table 3-7.
Lead lead_of(unsigned char byte) {
    if (byte < 0x80) {
        return {1};
    }
    if (byte < 0xC2 || byte > 0xF4) {
        return {0};
    }
    if (byte < 0xE0) {
        return {2};
    }
    if (byte < 0xF0) {
        return byte == 0xE0 ? Lead{3, 0xA0, 0xBF} : (byte == 0xED ? Lead{3, 0x80, 0x9F} : Lead{3});
    }
    return byte == 0xF0 ? Lead{4, 0x90, 0xBF} : (byte == 0xF4 ? Lead{4, 0x80, 0x8F} : Lead{4});
}

}  // namespace

Utf8Step utf8_step(std::string_view text) {
    R1_CHECK(!text.empty());
    const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
    if (lead.length == 0) {
        return {Utf8Step::Kind::broken, 1};
    }
    for (std::size_t i = 1; i < lead.length; ++i) {
        if (i == text.size()) {
            return {Utf8Step::Kind::unfinished, i};
        }
        const auto byte = static_cast<unsigned char>(text[i]);
        const unsigned char min = i == 1 ? lead.second_min : 0x80;
        const unsigned char max = i == 1 ? lead.second_max : 0xBF;
        if (byte < min || byte > max) {
            return {Utf8Step::Kind::broken, i};
        }
    }
    return {Utf8Step::Kind::character, lead.length};
}

std::optional<std::size_t> utf8_error(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const Utf8Step step = utf8_step(text.substr(at));
        if (step.kind != Utf8Step::Kind::character) {
            return at;
        }
        at += step.length;
    }
    return std::nullopt;
}

char32_t decode_character(std::string_view character) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
    R1_CHECK(!character.empty() && character.size() <= 4);
    if (character.size() == 1) {
        return byte(0);
    }
    // A lead byte of n bytes keeps 7 - n bits.
    char32_t code = byte(0) & (0x7FU >> character.size());
    for (std::size_t i = 1; i < character.size(); ++i) {
        code = (code << 6) | (byte(i) & 0x3FU);
    }
    return code;
}

std::string encode_character(char32_t code) {
    R1_CHECK(code <= 0x10FFFF);
    const auto tail = [code](unsigned shift) {
        return static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
    };
    if (code < 0x80) {
        return {static_cast<char>(code)};
    }
    if (code < 0x800) {
        return {static_cast<char>(0xC0U | (code >> 6)), tail(0)};
    }
    if (code < 0x10000) {
        return {static_cast<char>(0xE0U | (code >> 12)), tail(6), tail(0)};
    }
    return {static_cast<char>(0xF0U | (code >> 18)), tail(12), tail(6), tail(0)};
}

std::string Utf8Stream::put(std::string_view bytes) {
    pending_ += bytes;
    std::string out;
    std::size_t at = 0;
    while (at < pending_.size()) {
        const Utf8Step step = utf8_step(std::string_view(pending_).substr(at));
        if (step.kind == Utf8Step::Kind::unfinished) {
            break;
        }
        if (step.kind == Utf8Step::Kind::character) {
            out.append(pending_, at, step.length);
        } else {
            out += kReplacementCharacter;
        }
        at += step.length;
    }
    pending_.erase(0, at);
    return out;
}

std::string Utf8Stream::finish() {
    std::string out(pending_.empty() ? "" : kReplacementCharacter);
    pending_.clear();
    return out;
}

}  // namespace r1
