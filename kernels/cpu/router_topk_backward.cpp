#include "kernels/router_topk_backward.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/router_scores.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

namespace {

// Gradients here are with respect to log s: a weight w = scaling_factor * s_i / sum of s has
// d w = w * (d log s_i - sum of shares * d log s), so that nothing is divided by small scores.
void through_weights(const RouterTopkBackwardArgs& args, std::int64_t t, float* d_log_scores) {
    const std::int32_t* chosen = args.indices + t * args.experts_per_token;
    const float* weights = args.weights + t * args.experts_per_token;
    const float* d_weights = args.d_weights + t * args.experts_per_token;
    double mean = 0;
    for (std::int64_t i = 0; i < args.experts_per_token && args.normalize; ++i) {
        mean += static_cast<double>(weights[i]) * d_weights[i] / args.scaling_factor;
    }
    for (std::int64_t i = 0; i < args.experts_per_token; ++i) {
        d_log_scores[chosen[i]] += static_cast<float>(weights[i] * (d_weights[i] - mean));
    }
}

void through_balance(const RouterTopkBackwardArgs& args, const float* f, const float* scores,
                     float* d_log_scores) {
    const double sum = std::accumulate(scores, scores + args.experts, 0.0);
    const auto mean = static_cast<float>(sum_of_products(f, scores, args.experts) / sum);
    const auto factor = static_cast<float>(static_cast<double>(args.balance_alpha) /
                                           (static_cast<double>(args.sequence_length) * sum));
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < args.experts; ++i) {
            d_log_scores[i] += factor * scores[i] * (f[i] - mean);
        }
    });
}

void through_scores(const RouterTopkBackwardArgs& args, const float* logits, const float* scores,
                    const float* d_log_scores, float* d_logits) {
    if (args.score == RouterScore::sigmoid) {
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < args.experts; ++i) {
                d_logits[i] = d_log_scores[i] / (1.0F + exp_f32(logits[i]));  // times 1 - s
            }
        });
        return;
    }
    const auto sum =
        static_cast<float>(std::accumulate(d_log_scores, d_log_scores + args.experts, 0.0));
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < args.experts; ++i) {
            d_logits[i] = d_log_scores[i] - scores[i] * sum;
        }
    });
}

void token_backward(const RouterTopkBackwardArgs& args, std::int64_t t, const float* f) {
    RouterRow scores;
    RouterRow d_log_scores;
    const float* logits = args.logits + t * args.experts;
    router_scores(args.score, args.experts, logits, scores.data());
    std::fill_n(d_log_scores.data(), args.experts, 0.0F);
    if (args.d_weights != nullptr) {
        through_weights(args, t, d_log_scores.data());
    }
    if (args.balance_alpha > 0) {
        through_balance(args, f, scores.data(), d_log_scores.data());
    }
    through_scores(args, logits, scores.data(), d_log_scores.data(),
                   args.d_logits + t * args.experts);
}

}  // namespace

void router_topk_backward(const RouterTopkBackwardArgs& args) {
    check_choices(args.indices, args.tokens * args.experts_per_token, args.experts);
    R1_CHECK(args.scaling_factor != 0);
    const bool balanced = args.balance_alpha > 0;
    R1_CHECK(!balanced || (args.sequence_length > 0 && args.tokens % args.sequence_length == 0));
    // Threads share the tokens of one sequence: a micro-batch has few of them.
    const std::int64_t length = balanced ? args.sequence_length : args.tokens;
    RouterRow f;
    for (std::int64_t first = 0; first < args.tokens; first += length) {
        if (balanced) {
            choice_frequency(args.indices + first * args.experts_per_token, length,
                             args.experts_per_token, args.experts, f.data());
        }
        parallel_for(length, args.experts * 8,
                     [&](std::int64_t t) { token_backward(args, first + t, f.data()); });
    }
}

}  // namespace r1::cpu
