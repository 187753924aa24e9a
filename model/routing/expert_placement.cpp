#include "model/routing/expert_placement.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "model/base/check.hpp"
#include "model/base/index.hpp"

namespace r1 {

namespace {

using Indices = std::vector<std::int64_t>;

Indices ascending(std::size_t count) {
    Indices indices(count);
    std::iota(indices.begin(), indices.end(), 0);
    return indices;
}

// Items of each pack, as many in each: the heaviest first, each to the lightest pack with room.
std::vector<Indices> balanced_packing(const std::vector<double>& weights, std::int64_t packs) {
    const std::size_t room = weights.size() / at(packs);
    Indices order = ascending(weights.size());
    if (room > 1) {  // item i is pack i otherwise
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
            return weights[at(a)] > weights[at(b)];
        });
    }
    std::vector<Indices> packed(at(packs));
    std::vector<double> sums(at(packs));
    for (const std::int64_t item : order) {
        std::optional<std::size_t> lightest;
        for (std::size_t pack = 0; pack < packed.size(); ++pack) {
            if (packed[pack].size() < room && (!lightest || sums[pack] < sums[*lightest])) {
                lightest = pack;
            }
        }
        packed[*lightest].push_back(item);
        sums[*lightest] += weights[at(item)];
    }
    return packed;
}

// Which expert each replica is of: one of each, then one more of that with the most load a replica.
struct Replicas {
    Indices expert;
    std::vector<double> load;  // the expert's over its replicas
};
Replicas replicate(const std::vector<double>& loads, std::int64_t count) {
    Replicas replicas{ascending(loads.size()), {}};
    std::vector<double> copies(loads.size(), 1);
    std::vector<double> each = loads;
    while (replicas.expert.size() < at(count)) {
        const auto busiest = std::max_element(each.begin(), each.end()) - each.begin();
        replicas.expert.push_back(busiest);
        copies[at(busiest)] += 1;
        each[at(busiest)] = loads[at(busiest)] / copies[at(busiest)];
    }
    for (const std::int64_t expert : replicas.expert) {
        replicas.load.push_back(each[at(expert)]);
    }
    return replicas;
}

// Experts of each node: whole groups of them.
std::vector<Indices> experts_of_nodes(std::span<const double> loads, std::int64_t groups,
                                      std::int64_t nodes) {
    const std::int64_t size = static_cast<std::int64_t>(loads.size()) / groups;
    std::vector<double> sums(at(groups));
    for (std::size_t expert = 0; expert < loads.size(); ++expert) {
        sums[expert / at(size)] += loads[expert];
    }
    std::vector<Indices> experts;
    for (const Indices& pack : balanced_packing(sums, nodes)) {
        Indices& own = experts.emplace_back();
        for (const std::int64_t group : pack) {
            for (std::int64_t member = 0; member < size; ++member) {
                own.push_back(group * size + member);
            }
        }
    }
    return experts;
}

}  // namespace

ExpertPlacement contiguous_placement(std::int64_t experts, const ExpertGroupShape& group) {
    ExpertPlacement placement;
    placement.expert_of_slot = ascending(at(experts));
    for (std::int64_t expert = 0; expert < experts; ++expert) {
        placement.ranks_of_expert.push_back({rank_of_expert(expert, experts, group)});
    }
    return placement;
}

ExpertPlacement balanced_placement(std::span<const double> loads, const PlacementShape& shape) {
    const bool by_node = shape.groups % shape.nodes == 0;
    const std::int64_t groups = by_node ? shape.groups : 1;
    const std::int64_t nodes = by_node ? shape.nodes : 1;
    R1_CHECK(loads.size() <= at(shape.slots) && loads.size() % at(groups) == 0);
    R1_CHECK(shape.slots % shape.ranks == 0 && shape.ranks % nodes == 0);
    ExpertPlacement placement;
    placement.ranks_of_expert.resize(loads.size());
    std::int64_t rank = 0;
    for (const Indices& experts : experts_of_nodes(loads, groups, nodes)) {
        std::vector<double> own;
        for (const std::int64_t expert : experts) {
            own.push_back(loads[at(expert)]);
        }
        const Replicas replicas = replicate(own, shape.slots / nodes);
        for (const Indices& held : balanced_packing(replicas.load, shape.ranks / nodes)) {
            for (const std::int64_t replica : held) {
                const std::int64_t expert = experts[at(replicas.expert[at(replica)])];
                placement.expert_of_slot.push_back(expert);
                placement.ranks_of_expert[at(expert)].push_back(rank);
            }
            ++rank;
        }
    }
    return placement;
}

}  // namespace r1
