#include "sim/what_if.hpp"

#include <algorithm>

#include "model/base/rng.hpp"

namespace r1 {

double straggler_factor(const Stragglers& stragglers, std::uint64_t seed, RankId first,
                        std::int64_t ranks, std::int64_t stride, std::uint32_t item) {
    if (stragglers.per_rank == 0 && stragglers.per_chunk == 0) {
        return 1;
    }
    constexpr std::uint64_t kPerRank = 0x51A661;
    constexpr std::uint64_t kPerChunk = 0x51A662;
    const Rng rank_draws(seed, kPerRank);
    const Rng chunk_draws(seed, kPerChunk);
    double slowest = 0;
    for (std::int64_t i = 0; i < ranks; ++i) {
        const std::uint64_t rank = first.value + static_cast<std::uint64_t>(i * stride);
        const double factor = 1 + stragglers.per_rank * rank_draws.normal(rank) +
                              stragglers.per_chunk * chunk_draws.normal(rank << 32U | item);
        slowest = std::max(slowest, factor);
    }
    return slowest;
}

std::vector<double> balancing_factors(const std::vector<Seconds>& compute_by_stage) {
    Seconds sum;
    for (const Seconds time : compute_by_stage) {
        sum += time;
    }
    const Seconds mean = sum / static_cast<double>(compute_by_stage.size());
    std::vector<double> factors;
    for (const Seconds time : compute_by_stage) {
        factors.push_back(time.value() > 0 ? mean / time : 1);
    }
    return factors;
}

ExpertTraffic single_hop_traffic(const ExpertTraffic& traffic, const ExpertGroupShape& group) {
    ExpertTraffic single = traffic;
    const double here = 1.0 / static_cast<double>(group.nodes());
    single.ib_copies_per_token = traffic.ranks_per_token * (1 - here);
    // Of the copies that stay on the node, one in ranks_per_node stays on the GPU itself.
    single.nvlink_copies_per_token =
        traffic.ranks_per_token * here * (1 - 1.0 / static_cast<double>(group.ranks_per_node));
    single.nodes_per_token = traffic.ranks_per_token;  // copies that the kernels move
    return single;
}

ExpertTraffic copy_per_expert(ExpertTraffic traffic, double experts,
                              const ExpertGroupShape& group) {
    traffic.ranks_per_token = experts;
    ExpertTraffic copies = single_hop_traffic(traffic, group);
    copies.nodes_per_token = traffic.nodes_per_token;  // their time goes by copies alone
    return copies;
}

}  // namespace r1
