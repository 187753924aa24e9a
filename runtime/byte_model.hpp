// The baseline that training must beat: the next token by counts of what followed the two before
// it. Made for bytes; other tokens, begin and end among them, are letters of its alphabet too.
//
// Smoothing is Witten and Bell's (IEEE Trans. Inf. Theory 37(4), 1991), interpolated. With N(h) the
// tokens seen behind h, N(h c) those that were c, and T(h) how many different ones:
//     p(c | h) = (N(h c) + T(h) p(c | h')) / (N(h) + T(h)),
// where h' is h without its first token, and p(c | h) = p(c | h') where h was never seen. Below
// order 0 all tokens of the alphabet are equally likely.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

#include "runtime/training_data.hpp"

namespace r1 {

class ByteModel {
public:
    // Tokens are 0 .. alphabet-1; at most 2^21 of them.
    explicit ByteModel(std::int64_t alphabet);

    void count(std::span<const std::int32_t> sequence);

    // Of `token` behind `before`, whose last two tokens count. Over all tokens it adds up to 1.
    [[nodiscard]] double probability(std::span<const std::int32_t> before,
                                     std::int32_t token) const;
    // Natural logarithms, summed over all tokens of the sequence but the first: those that the
    // training loss of a sequence predicts.
    [[nodiscard]] double negative_log_likelihood(std::span<const std::int32_t> sequence) const;

private:
    struct Followers {
        std::int64_t tokens = 0;
        std::int64_t different = 0;
    };
    // By contexts of one length, written as numbers to the base of the alphabet.
    struct Order {
        std::unordered_map<std::uint64_t, Followers> contexts;
        std::unordered_map<std::uint64_t, std::int64_t> counts;  // of context and token
    };
    static constexpr std::size_t kOrders = 3;

    [[nodiscard]] std::uint64_t number(std::span<const std::int32_t> tokens) const;

    std::uint64_t alphabet_;
    std::array<Order, kOrders> orders_;
};

// Mean nats a predicted token of the held-out sequences, after counting the training sequences, as
// the losses of RankTrainer. nullopt if no token is held out.
std::optional<double> byte_model_loss(const TrainingData& data);

}  // namespace r1
