// Where one token's experts lie in a group.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/routing/expert_placement.hpp"
#include "model/routing/router.hpp"
#include "model/routing/traffic.hpp"

namespace r1 {

// The model's router; node_limit > 0 regroups the experts by the nodes of the group.
RouterSettings group_router(const ModelConfig& config, const ExpertGroupShape& group,
                            std::int64_t node_limit);

// Tokens of an expert go to its replicas in turn, whatever node the token visits anyway.
class ReplicaTurns {
public:
    explicit ReplicaTurns(ExpertPlacement placement);

    // Ranks of one token's experts, in their order.
    std::vector<std::int64_t> next(const RouterChoice& choice);

private:
    ExpertPlacement placement_;
    std::vector<std::size_t> turns_;  // by expert
};

// Distinct, ascending.
struct TokenPlaces {
    std::vector<std::int64_t> ranks;
    std::vector<std::int64_t> nodes;
};
TokenPlaces token_places(std::vector<std::int64_t> ranks, const ExpertGroupShape& group);

}  // namespace r1
