#include "model/routing/expert_routing.hpp"

#include <algorithm>
#include <utility>

#include "model/base/check.hpp"
#include "model/base/rng.hpp"

namespace r1 {

std::size_t ExpertRouting::index(const ExchangePlace& place) const {
    const auto found = index_.find(by_item_ ? place : ExchangePlace{place.stage, place.layer});
    R1_CHECK(found != index_.end());
    return found->second;
}

void ExpertRouting::add(const ExchangePlace& place, ExpertLoads loads) {
    by_item_ = by_item_ || place.micro_batch >= 0;
    const bool is_new = index_.try_emplace(place, loads_.size()).second;
    R1_CHECK(is_new);
    loads_.push_back(std::move(loads));
}

std::set<std::pair<std::int32_t, std::int32_t>> expert_layers(const ExecutionGraph& graph) {
    std::set<std::pair<std::int32_t, std::int32_t>> layers;
    for (const RankProgram& program : graph.programs()) {
        for (const Item& item : program.items) {
            for (const Op& op : graph.chunk(item.chunk).ops) {
                const CommOp* comm = op.comm();
                if (comm != nullptr && comm->group == GroupKind::expert_parallel) {
                    layers.emplace(item.contexts[op.context].stage, op.layer);
                }
            }
        }
    }
    return layers;
}

ExpertRouting sampled_routing(const ExecutionGraph& graph, const ModelConfig& config,
                              const ExpertGroupShape& group, const RoutingSpec& routing,
                              std::uint64_t seed, std::int64_t redundant_experts) {
    constexpr std::uint64_t kPlaces = 0x6c6f616403;
    ExpertRouting result;
    const ExpertLoads loads = sampled_loads(config, group, routing, seed, redundant_experts);
    const Rng draws(seed, kPlaces);
    std::uint64_t drawn = 0;
    for (const auto& [stage, layer] : expert_layers(graph)) {
        const auto draw = [&](std::int64_t count) {
            return static_cast<std::int64_t>(draws.uniform(drawn++) * static_cast<double>(count));
        };
        const std::int64_t nodes = draw(group.nodes());
        result.add({stage, layer}, rotated(loads, nodes, draw(group.ranks_per_node)));
    }
    return result;
}

ExpertTraffic mean_traffic(const ExpertRouting& routing) {
    ExpertTraffic mean;
    for (const ExpertLoads& loads : routing.all()) {
        mean.nodes_per_token += loads.mean.nodes_per_token;
        mean.ranks_per_token += loads.mean.ranks_per_token;
        mean.ib_copies_per_token += loads.mean.ib_copies_per_token;
        mean.nvlink_copies_per_token += loads.mean.nvlink_copies_per_token;
        mean.nodes_per_token_max =
            std::max(mean.nodes_per_token_max, loads.mean.nodes_per_token_max);
    }
    const auto count = static_cast<double>(routing.all().size());
    mean.nodes_per_token /= count;
    mean.ranks_per_token /= count;
    mean.ib_copies_per_token /= count;
    mean.nvlink_copies_per_token /= count;
    return mean;
}

LoadSpread load_spread(const ExpertRouting& routing) {
    LoadSpread mean{0, 0};
    const auto count = static_cast<double>(routing.all().size());
    for (const ExpertLoads& loads : routing.all()) {
        const LoadSpread spread = load_spread(loads.experts);
        mean.max_over_mean += spread.max_over_mean / count;
        mean.gini += spread.gini / count;
    }
    return mean;
}

double rank_load_max_over_mean(const ExpertRouting& routing) {
    double sum = 0;
    for (const ExpertLoads& loads : routing.all()) {
        sum += load_spread(loads.rows).max_over_mean;
    }
    return sum / static_cast<double>(routing.all().size());
}

}  // namespace r1
