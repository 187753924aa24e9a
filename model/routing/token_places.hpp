// Where one token's experts lie in a group.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/routing/router.hpp"
#include "model/routing/traffic.hpp"

namespace r1 {

// The model's router; node_limit > 0 regroups the experts by the nodes of the group.
RouterSettings group_router(const ModelConfig& config, const ExpertGroupShape& group,
                            std::int64_t node_limit);

// Expert e lies on rank e * ranks / experts.
constexpr std::int64_t rank_of_expert(std::int64_t expert, std::int64_t experts,
                                      const ExpertGroupShape& group) {
    return expert * group.ranks / experts;
}

// Distinct, ascending.
struct TokenPlaces {
    std::vector<std::int64_t> ranks;
    std::vector<std::int64_t> nodes;
};
TokenPlaces token_places(const RouterChoice& choice, std::int64_t experts,
                         const ExpertGroupShape& group);

}  // namespace r1
