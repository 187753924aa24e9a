// What node-limited routing sends where (arXiv 2412.19437, sec. 3.2.2): a token crosses InfiniBand
// at most once for each destination node, lands on the GPU of its own rail there, and is forwarded
// over NVLink to the GPUs of its experts. Combine goes the same ways back.
#pragma once

#include <cstdint>

#include "model/config/model_config.hpp"
#include "model/graph/extent.hpp"

namespace r1 {

// An expert-parallel group and how it lies on nodes.
struct ExpertGroupShape {
    std::int64_t ranks = 1;
    std::int64_t ranks_per_node = 1;

    [[nodiscard]] std::int64_t nodes() const { return ranks / ranks_per_node; }

    bool operator==(const ExpertGroupShape&) const = default;
};

// Means over tokens, for a source rank anywhere in the group with equal probability.
struct ExpertTraffic {
    double nodes_per_token = 0;  // distinct nodes of the chosen experts, the source's own included
    std::int64_t nodes_per_token_max = 0;
    double ranks_per_token = 0;          // distinct ranks of the chosen experts
    double ib_copies_per_token = 0;      // nodes other than the source's
    double nvlink_copies_per_token = 0;  // hops inside a node, at the source or the destination
};

// Balanced routing: every expert is as likely as any other, and no rank gets more rows than
// another; nodes and ranks of a token follow from the model's own top-k among independent scores,
// drawn from `seed`. node_limit > 0 regroups the experts by the nodes of the group and keeps that
// many; 0 groups as the model says.
ExpertTraffic balanced_traffic(const ModelConfig& config, const ExpertGroupShape& group,
                               std::int64_t node_limit, std::uint64_t seed);

// The values of the graph's symbols under balanced routing, for `tokens` source tokens a rank.
SymbolValues balanced_binding(const ModelConfig& config, const ExpertTraffic& traffic,
                              std::int64_t tokens);

}  // namespace r1
