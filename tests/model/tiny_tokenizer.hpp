// A tokenizer.json small enough to follow by hand, with R1's structure: its three patterns, the
// 256 bytes, nine merges and four added tokens.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/base/json.hpp"
#include "model/tokenizer/byte_level.hpp"

namespace r1::test {

// Ids: bytes are 0 to 255 by value; merges follow from 256 in their order; then the added tokens:
// 265 <s> (special), 266 <think>, 267 <think>ing (the longer word), 268 <|x|> (normalized).
inline Json tiny_tokenizer() {
    Json vocabulary = Json::object();
    for (unsigned byte = 0; byte < 256; ++byte) {
        vocabulary[byte_character(static_cast<std::uint8_t>(byte))] = byte;
    }
    const std::vector<std::pair<std::string, std::string>> pairs = {
        {"l", "l"}, {"h", "e"}, {"Ġ", "he"}, {"ll", "o"}, {"he", "llo"},
        {"a", "b"}, {"b", "c"}, {"ab", "c"}, {"1", "2"}};
    Json merges = Json::array();
    for (const auto& [left, right] : pairs) {
        vocabulary[left + right] = vocabulary.size();
        std::string merge = left;
        merge += ' ';
        merge += right;
        merges.push_back(std::move(merge));
    }
    const auto added = [](int id, const char* content, bool special, bool normalized) {
        return Json{{"id", id},          {"content", content}, {"single_word", false},
                    {"lstrip", false},   {"rstrip", false},    {"normalized", normalized},
                    {"special", special}};
    };
    const auto split = [](const char* pattern) {
        return Json{{"type", "Split"},
                    {"pattern", {{"Regex", pattern}}},
                    {"behavior", "Isolated"},
                    {"invert", false}};
    };
    const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
    return {
        {"version", "1.0"},
        {"truncation", nullptr},
        {"padding", nullptr},
        {"added_tokens",
         Json::array({added(265, "<s>", true, false), added(266, "<think>", false, false),
                      added(267, "<think>ing", false, false), added(268, "<|x|>", false, true)})},
        {"normalizer", {{"type", "Sequence"}, {"normalizers", Json::array()}}},
        {"pre_tokenizer",
         {{"type", "Sequence"},
          {"pretokenizers",
           Json::array(
               {split(R"(\p{N}{1,3})"), split("[一-龥぀-ゟ゠-ヿ]+"),
                split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}"
                      "\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|"
                      "\\s+"),
                bytes})}}},
        {"post_processor", {{"type", "ByteLevel"}}},
        {"decoder", {{"type", "ByteLevel"}}},
        {"model",
         {{"type", "BPE"},
          {"dropout", nullptr},
          {"byte_fallback", false},
          {"vocab", vocabulary},
          {"merges", merges}}}};
}

}  // namespace r1::test
