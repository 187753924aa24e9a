#include "model/routing/traffic.hpp"

#include <algorithm>
#include <vector>

#include "model/base/rng.hpp"
#include "model/routing/token_places.hpp"

namespace r1 {

namespace {

constexpr std::int64_t kSampledTokens = 16384;  // leaves 0.1 % on nodes per token

}  // namespace

ExpertTraffic balanced_traffic(const ModelConfig& config, const ExpertGroupShape& group,
                               std::int64_t node_limit, std::uint64_t seed) {
    ExpertTraffic traffic;
    if (!config.has_experts()) {
        return traffic;
    }
    const RouterSettings settings = group_router(config, group, node_limit);
    ReplicaTurns turns(contiguous_placement(config.n_routed_experts, group));
    const Rng rng(seed, /*stream=*/0x726f757465);
    const auto experts = static_cast<std::size_t>(config.n_routed_experts);
    std::vector<float> logits(experts);
    std::int64_t nodes_total = 0;
    std::int64_t ranks_total = 0;
    for (std::int64_t token = 0; token < kSampledTokens; ++token) {
        for (std::size_t expert = 0; expert < experts; ++expert) {
            logits[expert] = static_cast<float>(
                rng.uniform(static_cast<std::uint64_t>(token) * experts + expert));
        }
        const TokenPlaces places =
            token_places(turns.next(choose_experts(settings, logits, {})), group);
        const auto count = static_cast<std::int64_t>(places.nodes.size());
        nodes_total += count;
        ranks_total += static_cast<std::int64_t>(places.ranks.size());
        traffic.nodes_per_token_max = std::max(traffic.nodes_per_token_max, count);
    }
    const double sampled = static_cast<double>(kSampledTokens);
    const auto all_but_one = [](std::int64_t n) {
        return static_cast<double>(n - 1) / static_cast<double>(n);
    };
    traffic.nodes_per_token = static_cast<double>(nodes_total) / sampled;
    traffic.ranks_per_token = static_cast<double>(ranks_total) / sampled;
    // Every node is the source's own, and every local rank its rail, with the same probability.
    traffic.ib_copies_per_token = traffic.nodes_per_token * all_but_one(group.nodes());
    traffic.nvlink_copies_per_token = traffic.ranks_per_token * all_but_one(group.ranks_per_node);
    return traffic;
}

SymbolValues balanced_binding(const ModelConfig& config, const ExpertTraffic& traffic,
                              std::int64_t tokens) {
    SymbolValues values{};
    values[static_cast<std::size_t>(Symbol::routed_rows)] =
        static_cast<double>(tokens * config.num_experts_per_tok);
    values[static_cast<std::size_t>(Symbol::received_tokens)] =
        static_cast<double>(tokens) * traffic.ranks_per_token;
    return values;
}

}  // namespace r1
