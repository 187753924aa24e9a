// The scores of one token's experts in double, for what is differentiated or averaged; the
// choice itself is made on float32 scores.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/router_topk.hpp"

namespace r1::reference {

using RouterRow = std::array<double, kRouterExpertsMax>;

inline void router_scores(RouterScore score, std::int64_t experts, const float* logits,
                          double* scores) {
    const bool sigmoid = score == RouterScore::sigmoid;
    const double largest = experts > 0 ? *std::max_element(logits, logits + experts) : 0;
    double sum = 0;
    for (std::int64_t i = 0; i < experts; ++i) {
        const double x = logits[i];
        scores[i] = sigmoid ? 1 / (1 + std::exp(-x)) : std::exp(x - largest);
        sum += scores[i];
    }
    for (std::int64_t i = 0; i < experts && !sigmoid; ++i) {
        scores[i] /= sum;
    }
}

// f of the balance loss: experts / (experts_per_token * length) * tokens that chose the expert.
inline void choice_frequency(const std::int32_t* indices, std::int64_t length,
                             std::int64_t experts_per_token, std::int64_t experts, double* f) {
    std::fill_n(f, experts, 0.0);
    for (std::int64_t i = 0; i < length * experts_per_token; ++i) {
        f[indices[i]] += static_cast<double>(experts) /
                         (static_cast<double>(experts_per_token) * static_cast<double>(length));
    }
}

}  // namespace r1::reference
