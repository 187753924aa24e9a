// Experts on ranks: as EPLB places its example, by hand, and what must hold for any loads.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "model/base/rng.hpp"
#include "model/routing/expert_loads.hpp"
#include "model/routing/expert_placement.hpp"
#include "model/routing/token_places.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/training_setup.hpp"

namespace r1 {
namespace {

// Of the README of deepseek-ai/EPLB, commit d52c72d.
constexpr const char* kEplbExample = R"({
    "weight": [[90,132,40,61,104,165,39,4,73,56,183,86],
               [20,107,104,64,19,197,187,157,172,86,16,27]],
    "num_replicas": 16, "num_groups": 4, "num_nodes": 2, "num_gpus": 8,
    "phy2log": [[5,6,5,7,8,4,3,4,10,9,10,2,0,1,11,1],
                [7,10,6,8,6,11,8,9,2,4,5,1,5,0,3,1]]})";

void check_eplb_case(const Json& example) {
    const PlacementShape shape{example.at("num_replicas"), example.at("num_groups"),
                               example.at("num_nodes"), example.at("num_gpus")};
    REQUIRE(!example.at("weight").empty());
    for (std::size_t layer = 0; layer < example.at("weight").size(); ++layer) {
        INFO("layer " << layer);
        const std::vector<double> loads = example.at("weight")[layer];
        const std::vector<std::int64_t> wanted = example.at("phy2log")[layer];
        CHECK(balanced_placement(loads, shape).expert_of_slot == wanted);
    }
}

// Most loads small, a few large, some zero.
std::vector<double> random_expert_loads(std::int64_t experts, std::uint64_t seed) {
    const Rng draws(seed, 0x706c616365);
    std::vector<double> loads;
    for (std::int64_t expert = 0; expert < experts; ++expert) {
        const double draw = draws.uniform(static_cast<std::uint64_t>(expert));
        loads.push_back(draw < 0.05 ? 0 : draw * draw * draw);
    }
    return loads;
}

double fullest_rank(const std::vector<double>& loads, const ExpertPlacement& placement,
                    std::int64_t ranks) {
    std::vector<double> sums(static_cast<std::size_t>(ranks));
    for (std::size_t expert = 0; expert < loads.size(); ++expert) {
        const auto& replicas = placement.ranks_of_expert[expert];
        for (const std::int64_t rank : replicas) {
            sums[static_cast<std::size_t>(rank)] +=
                loads[expert] / static_cast<double>(replicas.size());
        }
    }
    return *std::max_element(sums.begin(), sums.end());
}

// Every slot is a replica on its rank, every expert has one, and a group keeps to its node.
void check_places(const ExpertPlacement& placement, const PlacementShape& shape) {
    REQUIRE(placement.expert_of_slot.size() == static_cast<std::size_t>(shape.slots));
    const std::size_t each =
        placement.expert_of_slot.size() / static_cast<std::size_t>(shape.ranks);
    std::vector<std::vector<std::int64_t>> ranks(placement.ranks_of_expert.size());
    for (std::size_t slot = 0; slot < placement.expert_of_slot.size(); ++slot) {
        ranks[static_cast<std::size_t>(placement.expert_of_slot[slot])].push_back(
            static_cast<std::int64_t>(slot / each));
    }
    CHECK(ranks == placement.ranks_of_expert);
    const std::size_t group_size = ranks.size() / static_cast<std::size_t>(shape.groups);
    std::vector<std::set<std::int64_t>> nodes(static_cast<std::size_t>(shape.groups));
    for (std::size_t expert = 0; expert < ranks.size(); ++expert) {
        CHECK(!ranks[expert].empty());
        for (const std::int64_t rank : ranks[expert]) {
            nodes[expert / group_size].insert(rank * shape.nodes / shape.ranks);
        }
    }
    for (const std::set<std::int64_t>& of_group : nodes) {
        CHECK((shape.groups % shape.nodes != 0 || of_group.size() == 1));
    }
}

constexpr ExpertGroupShape kEightRanks{8, 2};  // on four nodes

ModelConfig placed_config(std::int64_t top_k, std::int64_t groups, std::int64_t groups_per_token) {
    ModelConfig config = test::model_config(model_preset("tiny-r1"));
    config.n_routed_experts = 32;
    config.num_experts_per_tok = top_k;
    config.n_group = groups;
    config.topk_group = groups_per_token;
    return config;
}

RoutingSpec placed_zipf(double skew, PlacementPolicy placement, std::int64_t node_limit = 0) {
    RoutingSpec routing;
    routing.source = RoutingSource::zipf;
    routing.skew = skew;
    routing.placement = placement;
    routing.node_limit = node_limit;
    return routing;
}

}  // namespace

TEST_CASE("placement: as EPLB's own example", "[model][routing][placement]") {
    check_eplb_case(Json::parse(kEplbExample));
    const std::filesystem::path file = test::data_dir() / "reference" / "eplb.json";
    if (std::filesystem::exists(file)) {
        check_eplb_case(Document::from_file(file).root().at("case"));
    }
}

TEST_CASE("placement: worked out by hand", "[model][routing][placement]") {
    const std::vector<double> loads = {6, 3, 2, 1};
    // 6 to the first rank, 3 and 2 to the other, which is full, 1 to the first.
    const ExpertPlacement once = balanced_placement(loads, {4, 1, 1, 2});
    CHECK(once.expert_of_slot == std::vector<std::int64_t>{0, 3, 1, 2});
    CHECK(fullest_rank(loads, contiguous_placement(4, {2, 2}), 2) == 9);
    CHECK(fullest_rank(loads, once, 2) == 7);
    // Twice one more of expert 0 (6 > 3, and 3 = 3 goes to the smaller index), then loads 3 2 2 2 2
    // 1 of experts 1 0 2 0 0 3: to ranks 0 1 1 0 1 0.
    const ExpertPlacement twice = balanced_placement(loads, {6, 1, 1, 2});
    CHECK(twice.expert_of_slot == std::vector<std::int64_t>{1, 0, 3, 0, 2, 0});
    CHECK(twice.ranks_of_expert[0] == std::vector<std::int64_t>{0, 1, 1});
    CHECK(fullest_rank(loads, twice, 2) == 6);
}

TEST_CASE("placement: holds every expert and as many on each rank and is never worse",
          "[model][routing][placement]") {
    struct Case {
        std::int64_t experts;
        PlacementShape shape;
    };
    // Groups on their nodes, several groups a node, and groups that no node can keep.
    for (const Case& c :
         {Case{64, {64, 4, 4, 16}}, Case{64, {80, 8, 4, 16}}, Case{64, {96, 8, 2, 16}},
          Case{96, {96, 1, 4, 32}}, Case{96, {128, 3, 4, 32}}, Case{48, {64, 1, 1, 4}}}) {
        for (std::uint64_t seed = 0; seed < 100; ++seed) {
            INFO(c.experts << " experts on " << c.shape.slots << " slots, seed " << seed);
            const std::vector<double> loads = random_expert_loads(c.experts, seed);
            const ExpertPlacement placement = balanced_placement(loads, c.shape);
            check_places(placement, c.shape);
            const ExpertPlacement plain =
                contiguous_placement(c.experts, {c.shape.ranks, c.shape.ranks / c.shape.nodes});
            CHECK(fullest_rank(loads, placement, c.shape.ranks) <=
                  fullest_rank(loads, plain, c.shape.ranks) * (1 + 1e-12));
            CHECK(balanced_placement(loads, c.shape).expert_of_slot == placement.expert_of_slot);
        }
    }
}

TEST_CASE("placement: replicas take turns", "[model][routing][placement]") {
    ReplicaTurns turns({{0, 1, 0, 0}, {{0, 1, 1}, {0}}});
    const RouterChoice both{{1, 0}, {1, 1}};
    std::vector<std::vector<std::int64_t>> ranks;
    for (int token = 0; token < 4; ++token) {
        ranks.push_back(turns.next(both));
    }
    CHECK(ranks == std::vector<std::vector<std::int64_t>>{{0, 0}, {0, 1}, {0, 1}, {0, 0}});
}

TEST_CASE("placement: rows follow it and none is lost", "[model][routing][placement]") {
    const ModelConfig config = placed_config(4, 1, 1);
    double before = 0;
    for (const std::int64_t redundant : {-1, 0, 8}) {
        INFO("redundant experts (-1: contiguous): " << redundant);
        const bool balanced = redundant >= 0;
        const RoutingSpec routing =
            placed_zipf(0.8, balanced ? PlacementPolicy::balanced : PlacementPolicy::contiguous);
        const ExpertLoads loads =
            sampled_loads(config, kEightRanks, routing, 2, std::max<std::int64_t>(0, redundant));
        CHECK(std::accumulate(loads.experts.begin(), loads.experts.end(), 0.0) == Approx(4));
        CHECK(std::accumulate(loads.rows.begin(), loads.rows.end(), 0.0) == Approx(4 * 8));
        for (std::size_t rank = 0; rank < 8; ++rank) {
            // A token goes to a rank once, and has a row there for each of its experts.
            CHECK(loads.traffic.to_ranks[rank] * 8 <= loads.rows[rank] + 1e-9);
            CHECK(loads.traffic.to_ranks[rank] <= loads.traffic.to_nodes[rank / 2] + 1e-9);
        }
        const double fullest = *std::max_element(loads.rows.begin(), loads.rows.end());
        CHECK((redundant < 0 || fullest < before));
        before = fullest;
        if (balanced) {
            const ExpertPlacement placement =
                balanced_placement(loads.experts, {32 + redundant, 1, 4, 8});
            CHECK(fullest / 8 == Approx(fullest_rank(loads.experts, placement, 8)).margin(1e-3));
        }
    }
    CHECK(before < 1.02 * 4);
}

TEST_CASE("placement: a limit of nodes holds with replicas", "[model][routing][placement]") {
    for (const std::int64_t redundant : {0, 16}) {
        const ExpertLoads loads =
            sampled_loads(placed_config(4, 1, 1), kEightRanks,
                          placed_zipf(0.8, PlacementPolicy::balanced, 2), 4, redundant);
        CHECK(loads.mean.nodes_per_token_max == 2);
    }
}

TEST_CASE("placement: groups that nodes cannot share evenly lose their limit",
          "[model][routing][placement]") {
    // Two groups over four nodes, one of them a token: two nodes hold it, until experts lie
    // wherever their loads fit.
    const ModelConfig config = placed_config(4, 2, 1);
    const auto nodes_max = [&](PlacementPolicy placement) {
        return sampled_loads(config, kEightRanks, placed_zipf(0.8, placement), 4)
            .mean.nodes_per_token_max;
    };
    CHECK(nodes_max(PlacementPolicy::contiguous) == 2);
    CHECK(nodes_max(PlacementPolicy::balanced) == 4);
}

}  // namespace r1
