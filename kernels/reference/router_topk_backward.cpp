#include "kernels/router_topk_backward.hpp"

#include <numeric>

#include "kernels/reference/router_scores.hpp"

namespace r1::reference {

namespace {

// Adds d loss / d score of what the chosen experts' weights do: scaling_factor * s_i, over the sum
// of the chosen scores if normalised.
void through_weights(const RouterTopkBackwardArgs& args, std::int64_t t, const double* scores,
                     double* d_scores) {
    const std::int32_t* chosen = args.indices + t * args.experts_per_token;
    const float* d_weights = args.d_weights + t * args.experts_per_token;
    double sum = 0;
    double dot = 0;
    for (std::int64_t i = 0; i < args.experts_per_token; ++i) {
        sum += scores[chosen[i]];
        dot += scores[chosen[i]] * static_cast<double>(d_weights[i]);
    }
    const double scale = args.scaling_factor;
    for (std::int64_t i = 0; i < args.experts_per_token; ++i) {
        const double d = d_weights[i];
        d_scores[chosen[i]] += args.normalize ? scale * (d - dot / sum) / sum : scale * d;
    }
}

// Adds d loss / d score of alpha * sum_i f_i * mean over the sequence of s_i / sum of s.
void through_balance(const RouterTopkBackwardArgs& args, const double* f, const double* scores,
                     double* d_scores) {
    const double sum = std::accumulate(scores, scores + args.experts, 0.0);
    const double dot = std::inner_product(scores, scores + args.experts, f, 0.0);
    const double alpha =
        static_cast<double>(args.balance_alpha) / static_cast<double>(args.sequence_length);
    for (std::int64_t i = 0; i < args.experts; ++i) {
        d_scores[i] += alpha * (f[i] - dot / sum) / sum;
    }
}

void through_scores(const RouterTopkBackwardArgs& args, const double* scores,
                    const double* d_scores, float* d_logits) {
    const bool sigmoid = args.score == RouterScore::sigmoid;
    const double dot = std::inner_product(scores, scores + args.experts, d_scores, 0.0);
    for (std::int64_t i = 0; i < args.experts; ++i) {
        const double s = scores[i];
        d_logits[i] =
            static_cast<float>(sigmoid ? s * (1 - s) * d_scores[i] : s * (d_scores[i] - dot));
    }
}

}  // namespace

void router_topk_backward(const RouterTopkBackwardArgs& args) {
    R1_CHECK(args.experts <= kRouterExpertsMax && args.scaling_factor != 0);
    const bool balanced = args.balance_alpha > 0;
    R1_CHECK(!balanced || (args.sequence_length > 0 && args.tokens % args.sequence_length == 0));
    RouterRow f{};
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        RouterRow scores{};
        RouterRow d_scores{};
        router_scores(args.score, args.experts, args.logits + t * args.experts, scores.data());
        if (args.d_weights != nullptr) {
            through_weights(args, t, scores.data(), d_scores.data());
        }
        if (balanced && t % args.sequence_length == 0) {
            choice_frequency(args.indices + t * args.experts_per_token, args.sequence_length,
                             args.experts_per_token, args.experts, f.data());
        }
        if (balanced) {
            through_balance(args, f.data(), scores.data(), d_scores.data());
        }
        through_scores(args, scores.data(), d_scores.data(), args.d_logits + t * args.experts);
    }
}

}  // namespace r1::reference
