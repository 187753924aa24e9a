#include "kernels/bias_update.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/router_scores.hpp"

namespace r1::cpu {

// Every block of choices is counted apart; whole numbers add up to the same in any order.
void expert_load(const ExpertLoadArgs& args) {
    constexpr std::int64_t kBlock = 1 << 14;
    const std::int64_t choices = args.tokens * args.experts_per_token;
    check_choices(args.indices, choices, args.experts);
    parallel_for((choices + kBlock - 1) / kBlock, kBlock, [&](std::int64_t block) {
        std::array<std::int32_t, kRouterExpertsMax> counts{};
        const std::int64_t end = std::min(choices, (block + 1) * kBlock);
        for (std::int64_t i = block * kBlock; i < end; ++i) {
            ++counts[static_cast<std::size_t>(args.indices[i])];
        }
        for (std::int64_t i = 0; i < args.experts; ++i) {
            std::atomic_ref(args.load[i]) += counts[static_cast<std::size_t>(i)];
        }
    });
}

void bias_update(const BiasUpdateArgs& args) {
    const std::int64_t total =
        std::accumulate(args.load, args.load + args.experts, std::int64_t{0});
    for (std::int64_t i = 0; i < args.experts; ++i) {
        const std::int64_t missing = total - args.load[i] * args.experts;  // times experts
        args.bias[i] += args.gamma * static_cast<float>((missing > 0) - (missing < 0));
    }
}

}  // namespace r1::cpu
