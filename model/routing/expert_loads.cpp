#include "model/routing/expert_loads.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "model/base/index.hpp"
#include "model/base/permutation.hpp"
#include "model/base/rng.hpp"
#include "model/routing/expert_placement.hpp"
#include "model/routing/token_places.hpp"

namespace r1 {

namespace {

constexpr std::int64_t kLoadTokens = 65536;  // leaves 2 % on the load of one of 256 experts
constexpr double kShare = 1.0 / static_cast<double>(kLoadTokens);
constexpr std::int64_t kBiasTokens = 4096;  // of one update of the bias

// Streams of random numbers.
constexpr std::uint64_t kPopularity = 0x6c6f616401;
constexpr std::uint64_t kTokens = 0x6c6f616402;

// Logits of tokens, for the model's router.
class TokenLogits {
public:
    TokenLogits(const RoutingSpec& routing, std::int64_t experts, std::uint64_t seed)
        : zipf_(routing.source == RoutingSource::zipf), draws_(seed, kTokens) {
        const Rng means(seed, kPopularity);
        const Permutation order(seed, kPopularity, static_cast<std::uint64_t>(experts));
        for (std::int64_t expert = 0; expert < experts; ++expert) {
            const auto index = static_cast<std::uint64_t>(expert);
            means_.push_back(zipf_ ? -routing.skew *
                                         std::log(static_cast<double>(order.at(index)) + 1)
                                   : routing.affinity_spread * means.normal(index));
        }
    }

    void fill(std::int64_t token, std::vector<float>& logits) const {
        for (std::size_t expert = 0; expert < means_.size(); ++expert) {
            const std::uint64_t index = static_cast<std::uint64_t>(token) * means_.size() + expert;
            // The largest of log p + Gumbel noise is distributed as p. A quarter of it keeps the
            // order, and the sigmoid off its ends.
            const double value =
                zipf_ ? (means_[expert] - std::log(-std::log(draws_.uniform(index) + 1e-300))) / 4
                      : means_[expert] + draws_.normal(index);
            logits[expert] = static_cast<float>(value);
        }
    }

private:
    bool zipf_;
    Rng draws_;
    std::vector<double> means_;
};

using Visit = std::function<void(const RouterChoice&)>;

void choose(const TokenLogits& source, const RouterSettings& settings,
            const std::vector<float>& bias, std::int64_t first, std::int64_t count,
            const Visit& visit) {
    std::vector<float> logits(at(settings.experts));
    for (std::int64_t token = first; token < first + count; ++token) {
        source.fill(token, logits);
        visit(choose_experts(settings, logits, bias));
    }
}

// After `updates` steps of the bias (arXiv 2412.19437, sec. 2.1.2): down where the load was above
// the mean, up where it was below.
std::vector<float> trained_bias(const TokenLogits& source, const RouterSettings& settings,
                                const RoutingSpec& routing) {
    std::vector<float> bias(at(settings.experts));
    const double mean = static_cast<double>(kBiasTokens * settings.experts_per_token) /
                        static_cast<double>(settings.experts);
    for (std::int64_t update = 0; update < routing.bias_updates; ++update) {
        std::vector<double> load(bias.size());
        choose(source, settings, bias, kLoadTokens + update * kBiasTokens, kBiasTokens,
               [&](const RouterChoice& choice) {
                   for (const std::int32_t expert : choice.experts) {
                       load[at(expert)] += 1;
                   }
               });
        for (std::size_t expert = 0; expert < bias.size(); ++expert) {
            const double step = load[expert] > mean ? -1 : load[expert] < mean ? 1 : 0;
            bias[expert] += static_cast<float>(routing.bias_update_speed * step);
        }
    }
    return bias;
}

// Where the tokens go; without the loads of experts.
ExpertLoads placed(const std::vector<RouterChoice>& choices, const ExpertPlacement& placement,
                   const ExpertGroupShape& group) {
    ExpertLoads loads;
    loads.traffic = {group, 1, std::vector<double>(at(group.nodes())),
                     std::vector<double>(at(group.ranks))};
    loads.rows.resize(at(group.ranks));
    ReplicaTurns turns(placement);
    std::size_t nodes_max = 0;
    for (const RouterChoice& choice : choices) {
        const std::vector<std::int64_t> ranks = turns.next(choice);
        for (const std::int64_t rank : ranks) {
            loads.rows[at(rank)] += kShare * static_cast<double>(group.ranks);
        }
        const TokenPlaces places = token_places(ranks, group);
        for (const std::int64_t rank : places.ranks) {
            loads.traffic.to_ranks[at(rank)] += kShare;
        }
        for (const std::int64_t node : places.nodes) {
            loads.traffic.to_nodes[at(node)] += kShare;
        }
        nodes_max = std::max(nodes_max, places.nodes.size());
    }
    loads.mean = mean_traffic(loads.traffic);
    loads.mean.nodes_per_token_max = static_cast<std::int64_t>(nodes_max);
    return loads;
}

}  // namespace

ExpertTraffic mean_traffic(const GroupTraffic& traffic) {
    const ExpertGroupShape& group = traffic.group;
    ExpertTraffic mean;
    for (std::int64_t source = 0; source < group.ranks; ++source) {
        const std::int64_t own = source / group.ranks_per_node;
        const std::int64_t rail = source % group.ranks_per_node;
        for (std::int64_t node = 0; node < group.nodes(); ++node) {
            mean.nodes_per_token += traffic.to_node(source, node);
            mean.ib_copies_per_token += node != own ? traffic.to_node(source, node) : 0;
        }
        for (std::int64_t rank = 0; rank < group.ranks; ++rank) {
            mean.ranks_per_token += traffic.to_rank(source, rank);
            mean.nvlink_copies_per_token +=
                rank % group.ranks_per_node != rail ? traffic.to_rank(source, rank) : 0;
        }
    }
    const auto ranks = static_cast<double>(group.ranks);
    mean.nodes_per_token /= ranks;
    mean.ranks_per_token /= ranks;
    mean.ib_copies_per_token /= ranks;
    mean.nvlink_copies_per_token /= ranks;
    return mean;
}

ExpertLoads sampled_loads(const ModelConfig& config, const ExpertGroupShape& group,
                          const RoutingSpec& routing, std::uint64_t seed,
                          std::int64_t redundant_experts) {
    const RouterSettings settings = group_router(config, group, routing.node_limit);
    const TokenLogits source(routing, settings.experts, seed);
    const std::vector<float> bias = trained_bias(source, settings, routing);
    std::vector<RouterChoice> choices;
    std::vector<double> experts(at(settings.experts));
    choose(source, settings, bias, 0, kLoadTokens, [&](const RouterChoice& choice) {
        choices.push_back(choice);
        for (const std::int32_t expert : choice.experts) {
            experts[at(expert)] += kShare;
        }
    });
    const ExpertPlacement placement =
        routing.placement == PlacementPolicy::balanced
            ? balanced_placement(experts, {settings.experts + redundant_experts, settings.groups,
                                           group.nodes(), group.ranks})
            : contiguous_placement(settings.experts, group);
    ExpertLoads loads = placed(choices, placement, group);
    loads.experts = std::move(experts);
    return loads;
}

ExpertLoads rotated(const ExpertLoads& loads, std::int64_t nodes, std::int64_t locals) {
    const ExpertGroupShape& group = loads.traffic.group;
    ExpertLoads result = loads;
    for (std::int64_t node = 0; node < group.nodes(); ++node) {
        const std::int64_t to_node = (node + nodes) % group.nodes();
        result.traffic.to_nodes[at(to_node)] = loads.traffic.to_nodes[at(node)];
        for (std::int64_t local = 0; local < group.ranks_per_node; ++local) {
            const std::int64_t from = node * group.ranks_per_node + local;
            const std::int64_t to =
                to_node * group.ranks_per_node + (local + locals) % group.ranks_per_node;
            result.traffic.to_ranks[at(to)] = loads.traffic.to_ranks[at(from)];
            result.rows[at(to)] = loads.rows[at(from)];
        }
    }
    return result;
}

}  // namespace r1
