// Byte-pair encoding: the bytes of a piece of text are merged, two neighbours at a time, the
// merge that was learnt first before the others.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace r1 {

using Token = std::int32_t;

struct Merge {
    Token left;
    Token right;
    Token merged;
};

class Bpe {
public:
    // `byte_tokens`: the token of each byte. `merges`: ascending by rank; of two with the same
    // left and right the later counts, as in Hugging Face's library.
    Bpe(const std::array<Token, 256>& byte_tokens, const std::vector<Merge>& merges);

    // Appends the tokens of one piece of text. Safe to call from several threads.
    void encode(std::string_view piece, std::vector<Token>& out) const;

private:
    struct Ranked {
        std::uint32_t rank;
        Token merged;
    };
    [[nodiscard]] const Ranked* find(Token left, Token right) const;
    [[nodiscard]] std::vector<Token> merge(std::string_view piece) const;

    std::array<Token, 256> byte_tokens_;
    std::unordered_map<std::uint64_t, Ranked> merges_;

    // Words repeat. Long pieces do not, and would fill the memory.
    static constexpr std::size_t kCachedPieceMax = 64;
    static constexpr std::size_t kCacheMax = 20'000;
    mutable std::mutex mutex_;  // guards the cache
    mutable std::unordered_map<std::string, std::vector<Token>> cache_;
};

}  // namespace r1
