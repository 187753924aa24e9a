#include "model/routing/token_places.hpp"

#include <algorithm>

namespace r1 {

RouterSettings group_router(const ModelConfig& config, const ExpertGroupShape& group,
                            std::int64_t node_limit) {
    RouterSettings settings = router_settings(config);
    if (node_limit > 0) {
        settings.groups = group.nodes();
        settings.groups_per_token = std::min<std::int64_t>(node_limit, group.nodes());
        settings.topk_method = TopkMethod::noaux_tc;
    }
    return settings;
}

TokenPlaces token_places(const RouterChoice& choice, std::int64_t experts,
                         const ExpertGroupShape& group) {
    TokenPlaces places;
    for (const std::int32_t expert : choice.experts) {
        places.ranks.push_back(rank_of_expert(expert, experts, group));
    }
    std::sort(places.ranks.begin(), places.ranks.end());
    places.ranks.erase(std::unique(places.ranks.begin(), places.ranks.end()), places.ranks.end());
    for (const std::int64_t rank : places.ranks) {
        if (places.nodes.empty() || places.nodes.back() != rank / group.ranks_per_node) {
            places.nodes.push_back(rank / group.ranks_per_node);
        }
    }
    return places;
}

}  // namespace r1
