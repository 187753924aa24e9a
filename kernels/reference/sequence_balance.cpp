#include "kernels/sequence_balance.hpp"

#include <numeric>

#include "kernels/reference/router_scores.hpp"

namespace r1::reference {

void sequence_balance(const SequenceBalanceArgs& args) {
    R1_CHECK(args.experts <= kRouterExpertsMax);
    R1_CHECK(args.sequence_length > 0 && args.tokens % args.sequence_length == 0);
    for (std::int64_t first = 0; first < args.tokens; first += args.sequence_length) {
        const std::int64_t sequence = first / args.sequence_length;
        RouterRow f{};
        RouterRow p{};
        choice_frequency(args.indices + first * args.experts_per_token, args.sequence_length,
                         args.experts_per_token, args.experts, f.data());
        for (std::int64_t t = first; t < first + args.sequence_length; ++t) {
            RouterRow scores{};
            router_scores(args.score, args.experts, args.logits + t * args.experts, scores.data());
            const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
            for (std::size_t i = 0; i < scores.size(); ++i) {
                p[i] += scores[i] / sum / static_cast<double>(args.sequence_length);
            }
        }
        const double dot = std::inner_product(f.begin(), f.end(), p.begin(), 0.0);
        args.loss[sequence] = static_cast<float>(static_cast<double>(args.alpha) * dot);
        for (std::int64_t i = 0; i < args.experts; ++i) {
            const auto at = static_cast<std::size_t>(i);
            args.f[sequence * args.experts + i] = static_cast<float>(f[at]);
            args.p[sequence * args.experts + i] = static_cast<float>(p[at]);
        }
    }
}

}  // namespace r1::reference
