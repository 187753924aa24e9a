// A byte-level BPE tokenizer, read from Hugging Face's tokenizer.json.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/tokenizer/bpe.hpp"
#include "model/tokenizer/split_pattern.hpp"
#include "model/tokenizer/tokenizer_json.hpp"
#include "model/tokenizer/utf8.hpp"

namespace r1 {

// Finds the longest of some words at a place of a text: a trie over bytes.
class WordTrie {
public:
    WordTrie() : nodes_(1) {}
    void add(std::string_view word, Token id);  // of equal words the first stays

    struct Match {
        Token id;
        std::size_t length;  // 0: none
    };
    [[nodiscard]] Match longest_at(std::string_view text, std::size_t at) const;

private:
    struct Node {
        std::vector<std::pair<char, std::size_t>> children;
        std::optional<Token> id;
    };
    [[nodiscard]] std::size_t child(std::size_t node, char byte) const;  // 0: none

    std::vector<Node> nodes_;
};

enum class SpecialTokens { keep, skip };

class Tokenizer {
public:
    // A file, or a folder that holds a tokenizer.json. Throws InputError.
    static Tokenizer from_file(const std::filesystem::path& file);
    static Tokenizer from_document(const Document& document);

    // Added tokens in the text become their ids; no token is put before or after. Throws
    // InputError if the text is not UTF-8.
    [[nodiscard]] std::vector<Token> encode(std::string_view text) const;
    // All text is plain text, as for what strangers wrote.
    [[nodiscard]] std::vector<Token> encode_plain(std::string_view text) const;

    // U+FFFD for bytes that make no character. Ids that no entry has give no text.
    [[nodiscard]] std::string decode(std::span<const Token> tokens,
                                     SpecialTokens special = SpecialTokens::keep) const;
    // The bytes of one token, for a Utf8Stream: text as it is generated, whole characters only.
    [[nodiscard]] std::string_view bytes(Token token,
                                         SpecialTokens special = SpecialTokens::keep) const;

    // One above the largest id; a model's vocabulary may be larger.
    [[nodiscard]] Token size() const { return static_cast<Token>(bytes_.size()); }
    [[nodiscard]] std::optional<Token> added_token(std::string_view content) const;

private:
    explicit Tokenizer(TokenizerParts parts);
    void encode_piece(std::string_view text, std::vector<Token>& out) const;
    void encode_with(std::span<const WordTrie> tries, std::string_view text,
                     std::vector<Token>& out) const;

    std::vector<std::string> bytes_;  // by id
    std::vector<bool> is_special_;    // by id
    std::unordered_map<std::string, Token> added_;
    std::array<WordTrie, 2> tries_;  // added tokens that are not normalised, then the others
    std::vector<SplitPattern> splits_;
    std::unique_ptr<Bpe> bpe_;
};

}  // namespace r1
