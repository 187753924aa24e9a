// The loads of all exchanges of a step.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/routing/expert_loads.hpp"
#include "model/routing/load_spread.hpp"

namespace r1 {

// An expert layer, in one micro-batch and expert-parallel group of its pipeline rank. -1 where all
// micro-batches and groups are alike.
struct ExchangePlace {
    std::int32_t stage = 0;
    std::int32_t layer = 0;  // slot within the stage
    std::int32_t direction = -1;
    std::int32_t micro_batch = -1;
    std::int32_t group = -1;
    auto operator<=>(const ExchangePlace&) const = default;
};

class ExpertRouting {
public:
    // Without loads: every rank gets as much as any other.
    [[nodiscard]] bool even() const { return loads_.empty(); }
    // Whether micro-batches and groups differ.
    [[nodiscard]] bool by_item() const { return by_item_; }

    // Checks that the place has loads. Indices are equal where loads are.
    [[nodiscard]] std::size_t index(const ExchangePlace& place) const;
    [[nodiscard]] const ExpertLoads& loads(std::size_t index) const { return loads_[index]; }
    [[nodiscard]] const std::vector<ExpertLoads>& all() const { return loads_; }
    // Where each has its loads.
    [[nodiscard]] const std::map<ExchangePlace, std::size_t>& places() const { return index_; }

    void add(const ExchangePlace& place, ExpertLoads loads);

private:
    std::vector<ExpertLoads> loads_;
    std::map<ExchangePlace, std::size_t> index_;
    bool by_item_ = false;
};

// (stage, layer) of every exchange of the graph.
std::set<std::pair<std::int32_t, std::int32_t>> expert_layers(const ExecutionGraph& graph);

// Sources `zipf` and `router`: one set of loads, which each layer has elsewhere in the group.
ExpertRouting sampled_routing(const ExecutionGraph& graph, const ModelConfig& config,
                              const ExpertGroupShape& group, const RoutingSpec& routing,
                              std::uint64_t seed, std::int64_t redundant_experts);

// Means over all exchanges.
ExpertTraffic mean_traffic(const ExpertRouting& routing);

// Of experts, mean over the exchanges.
LoadSpread load_spread(const ExpertRouting& routing);

// Rows of the fullest rank of a group over the mean over its ranks; mean over the exchanges.
double rank_load_max_over_mean(const ExpertRouting& routing);

}  // namespace r1
