#include "kernels/sequence_balance.hpp"

#include <numeric>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/router_scores.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

namespace {

void balance_of(const SequenceBalanceArgs& args, std::int64_t sequence) {
    const std::int64_t first = sequence * args.sequence_length;
    float* f = args.f + sequence * args.experts;
    float* p = args.p + sequence * args.experts;
    choice_frequency(args.indices + first * args.experts_per_token, args.sequence_length,
                     args.experts_per_token, args.experts, f);
    std::array<double, kRouterExpertsMax> sums{};
    for (std::int64_t t = first; t < first + args.sequence_length; ++t) {
        RouterRow row;
        const float* scores = row.data();
        router_scores(args.score, args.experts, args.logits + t * args.experts, row.data());
        const double factor = 1 / (std::accumulate(scores, scores + args.experts, 0.0) *
                                   static_cast<double>(args.sequence_length));
        double* to = sums.data();
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < args.experts; ++i) {
                to[i] += scores[i] * factor;
            }
        });
    }
    for (std::int64_t i = 0; i < args.experts; ++i) {
        p[i] = static_cast<float>(sums[static_cast<std::size_t>(i)]);
    }
    args.loss[sequence] = static_cast<float>(args.alpha * sum_of_products(f, p, args.experts));
}

}  // namespace

void sequence_balance(const SequenceBalanceArgs& args) {
    check_choices(args.indices, args.tokens * args.experts_per_token, args.experts);
    R1_CHECK(args.sequence_length > 0 && args.tokens % args.sequence_length == 0);
    parallel_for(args.tokens / args.sequence_length, args.sequence_length * args.experts * 4,
                 [&](std::int64_t sequence) { balance_of(args, sequence); });
}

}  // namespace r1::cpu
