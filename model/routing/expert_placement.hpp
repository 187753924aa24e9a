// Which rank of an expert-parallel group holds which experts: one after the other, or balanced by
// their loads, busy ones on several ranks (EPLB, github.com/deepseek-ai/EPLB).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/routing/traffic.hpp"

namespace r1 {

struct ExpertPlacement {
    std::vector<std::int64_t> expert_of_slot;  // rank by rank: what each holds
    // By expert: of its replicas, ascending. A rank may hold two of the same.
    std::vector<std::vector<std::int64_t>> ranks_of_expert;
};

// Experts one after the other, each once.
constexpr std::int64_t rank_of_expert(std::int64_t expert, std::int64_t experts,
                                      const ExpertGroupShape& group) {
    return expert * group.ranks / experts;
}

ExpertPlacement contiguous_placement(std::int64_t experts, const ExpertGroupShape& group);

struct PlacementShape {
    std::int64_t slots = 1;   // replicas of all experts; a multiple of the ranks
    std::int64_t groups = 1;  // of experts that follow each other, of equal size
    std::int64_t nodes = 1;
    std::int64_t ranks = 1;  // of all nodes
};

// As EPLB's rebalance_experts, one layer. Where the groups are a multiple of the nodes: groups to
// nodes, replicas of a node's experts, replicas to its ranks. Else all ranks are one node. Ties go
// to the smaller index.
ExpertPlacement balanced_placement(std::span<const double> loads, const PlacementShape& shape);

}  // namespace r1
