#include "model/tokenizer/tokenizer.hpp"

#include <utility>

#include "model/base/json.hpp"
#include "model/tokenizer/byte_level.hpp"

namespace r1 {

namespace {

void check_utf8(std::string_view text) {
    if (const std::optional<std::size_t> at = utf8_error(text)) {
        throw InputError(
            "", "the text is not UTF-8: byte " + std::to_string(*at) + " belongs to no character");
    }
}

}  // namespace

std::size_t WordTrie::child(std::size_t node, char byte) const {
    for (const auto& [label, next] : nodes_[node].children) {
        if (label == byte) {
            return next;
        }
    }
    return 0;
}

void WordTrie::add(std::string_view word, Token id) {
    std::size_t node = 0;
    for (const char byte : word) {
        std::size_t next = child(node, byte);
        if (next == 0) {
            next = nodes_.size();
            nodes_[node].children.emplace_back(byte, next);
            nodes_.emplace_back();
        }
        node = next;
    }
    if (!nodes_[node].id) {
        nodes_[node].id = id;
    }
}

WordTrie::Match WordTrie::longest_at(std::string_view text, std::size_t at) const {
    Match match{0, 0};
    std::size_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
        node = child(node, text[i]);
        if (node == 0) {
            break;
        }
        if (nodes_[node].id) {
            match = {*nodes_[node].id, i + 1 - at};
        }
    }
    return match;
}

Tokenizer::Tokenizer(TokenizerParts parts)
    : is_special_(parts.entries.size(), false),
      splits_(std::move(parts.splits)),
      bpe_(std::make_unique<Bpe>(parts.byte_tokens, parts.merges)) {
    bytes_.reserve(parts.entries.size());
    for (std::string& entry : parts.entries) {
        std::optional<std::string> bytes = from_byte_level(entry);
        bytes_.push_back(bytes ? std::move(*bytes) : std::move(entry));
    }
    for (const AddedToken& token : parts.added) {
        is_special_[static_cast<std::size_t>(token.id)] = token.special;
        added_.emplace(token.content, token.id);
        tries_[token.normalized ? 1 : 0].add(token.content, token.id);
    }
}

Tokenizer Tokenizer::from_document(const Document& document) {
    return Tokenizer(read_tokenizer_parts(document));
}

Tokenizer Tokenizer::from_file(const std::filesystem::path& file) {
    std::error_code ignored;
    const bool is_folder = std::filesystem::is_directory(file, ignored);
    return from_document(Document::from_file(is_folder ? file / "tokenizer.json" : file));
}

void Tokenizer::encode_piece(std::string_view text, std::vector<Token>& out) const {
    std::vector<std::string_view> pieces{text};
    for (const SplitPattern& pattern : splits_) {
        std::vector<std::string_view> smaller;
        for (const std::string_view piece : pieces) {
            try {
                pattern.split(piece, smaller);
            } catch (const PatternError& problem) {
                throw InputError("",
                                 "the tokenizer's pattern fails on this text: " + problem.message);
            }
        }
        pieces = std::move(smaller);
    }
    for (const std::string_view piece : pieces) {
        bpe_->encode(piece, out);
    }
}

// What lies between the words of the first trie is searched with the next.
void Tokenizer::encode_with(std::span<const WordTrie> tries, std::string_view text,
                            std::vector<Token>& out) const {
    if (tries.empty()) {
        encode_piece(text, out);
        return;
    }
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
        const WordTrie::Match match = tries.front().longest_at(text, at);
        if (match.length == 0) {
            ++at;
            continue;
        }
        if (begin < at) {
            encode_with(tries.subspan(1), text.substr(begin, at - begin), out);
        }
        out.push_back(match.id);
        at += match.length;
        begin = at;
    }
    if (begin < text.size()) {
        encode_with(tries.subspan(1), text.substr(begin), out);
    }
}

std::vector<Token> Tokenizer::encode(std::string_view text) const {
    check_utf8(text);
    std::vector<Token> out;
    encode_with(tries_, text, out);
    return out;
}

std::vector<Token> Tokenizer::encode_plain(std::string_view text) const {
    check_utf8(text);
    std::vector<Token> out;
    encode_with({}, text, out);
    return out;
}

std::string_view Tokenizer::bytes(Token token, SpecialTokens special) const {
    const auto index = static_cast<std::size_t>(token);
    if (token < 0 || index >= bytes_.size() ||
        (special == SpecialTokens::skip && is_special_[index])) {
        return {};
    }
    return bytes_[index];
}

std::string Tokenizer::decode(std::span<const Token> tokens, SpecialTokens special) const {
    Utf8Stream stream;
    std::string out;
    for (const Token token : tokens) {
        out += stream.put(bytes(token, special));
    }
    return out + stream.finish();
}

std::optional<Token> Tokenizer::added_token(std::string_view content) const {
    const auto found = added_.find(std::string(content));
    return found == added_.end() ? std::nullopt : std::optional<Token>(found->second);
}

}  // namespace r1
