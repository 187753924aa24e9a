#include "model/tokenizer/bpe.hpp"

#include <functional>
#include <limits>
#include <queue>
#include <tuple>

#include "model/base/check.hpp"

namespace r1 {

namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

std::uint64_t key_of(Token left, Token right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) |
           static_cast<std::uint32_t>(right);
}

// A list over an array: merging joins a symbol with its right neighbour.
struct BpeSymbol {
    Token token;
    std::size_t previous;
    std::size_t next;
    bool is_alive;
};

// Least rank first, then from left to right.
struct Candidate {
    std::uint32_t rank;
    std::size_t at;  // the left symbol
    Token merged;

    bool operator>(const Candidate& other) const {
        return std::tie(rank, at) > std::tie(other.rank, other.at);
    }
};

}  // namespace

Bpe::Bpe(const std::array<Token, 256>& byte_tokens, const std::vector<Merge>& merges)
    : byte_tokens_(byte_tokens) {
    merges_.reserve(merges.size());
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
        const Merge& merge = merges[rank];
        merges_.insert_or_assign(key_of(merge.left, merge.right),
                                 Ranked{static_cast<std::uint32_t>(rank), merge.merged});
    }
}

const Bpe::Ranked* Bpe::find(Token left, Token right) const {
    const auto found = merges_.find(key_of(left, right));
    return found == merges_.end() ? nullptr : &found->second;
}

std::vector<Token> Bpe::merge(std::string_view piece) const {
    std::vector<BpeSymbol> symbols;
    symbols.reserve(piece.size());
    for (std::size_t i = 0; i < piece.size(); ++i) {
        symbols.push_back({byte_tokens_[static_cast<unsigned char>(piece[i])],
                           i == 0 ? kNone : i - 1, i + 1 == piece.size() ? kNone : i + 1, true});
    }
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto propose = [&](std::size_t left) {
        if (left == kNone || symbols[left].next == kNone) {
            return;
        }
        const Ranked* found = find(symbols[left].token, symbols[symbols[left].next].token);
        if (found != nullptr) {
            queue.push({found->rank, left, found->merged});
        }
    };
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        propose(i);
    }
    while (!queue.empty()) {
        const Candidate candidate = queue.top();
        queue.pop();
        BpeSymbol& left = symbols[candidate.at];
        if (!left.is_alive || left.next == kNone) {
            continue;
        }
        BpeSymbol& right = symbols[left.next];
        // Either neighbour may have been merged since: then this candidate is out of date.
        const Ranked* current = find(left.token, right.token);
        if (current == nullptr || current->rank != candidate.rank) {
            continue;
        }
        left.token = candidate.merged;
        right.is_alive = false;
        left.next = right.next;
        if (right.next != kNone) {
            symbols[right.next].previous = candidate.at;
        }
        propose(left.previous);
        propose(candidate.at);
    }
    std::vector<Token> tokens;
    for (std::size_t i = symbols.empty() ? kNone : 0; i != kNone; i = symbols[i].next) {
        tokens.push_back(symbols[i].token);
    }
    return tokens;
}

void Bpe::encode(std::string_view piece, std::vector<Token>& out) const {
    if (piece.size() > kCachedPieceMax) {
        const std::vector<Token> tokens = merge(piece);
        out.insert(out.end(), tokens.begin(), tokens.end());
        return;
    }
    const std::lock_guard lock(mutex_);
    const auto [place, is_new] = cache_.try_emplace(std::string(piece));
    if (is_new) {
        place->second = merge(piece);
    }
    out.insert(out.end(), place->second.begin(), place->second.end());
    if (cache_.size() >= kCacheMax) {
        cache_.clear();
    }
}

}  // namespace r1
