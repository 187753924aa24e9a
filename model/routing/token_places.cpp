#include "model/routing/token_places.hpp"

#include <algorithm>
#include <utility>

#include "model/base/index.hpp"

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

ReplicaTurns::ReplicaTurns(ExpertPlacement placement)
    : placement_(std::move(placement)), turns_(placement_.ranks_of_expert.size()) {}

std::vector<std::int64_t> ReplicaTurns::next(const RouterChoice& choice) {
    std::vector<std::int64_t> ranks;
    for (const std::int32_t expert : choice.experts) {
        const std::vector<std::int64_t>& replicas = placement_.ranks_of_expert[at(expert)];
        ranks.push_back(replicas[turns_[at(expert)]++ % replicas.size()]);
    }
    return ranks;
}

TokenPlaces token_places(std::vector<std::int64_t> ranks, const ExpertGroupShape& group) {
    TokenPlaces places{std::move(ranks), {}};
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
