// Loads of experts that differ: against closed forms, balanced traffic, and what must not change.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "model/routing/expert_loads.hpp"
#include "model/routing/load_spread.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

namespace r1 {
namespace {

constexpr ExpertGroupShape kFourNodes{8, 2};

ModelConfig router_config(std::int64_t experts, std::int64_t top_k) {
    ModelConfig config = test::model_config(model_preset("tiny-r1"));
    config.n_routed_experts = experts;
    config.num_experts_per_tok = top_k;
    config.n_group = config.topk_group = 1;
    return config;
}

RoutingSpec zipf(double skew, std::int64_t node_limit = 0) {
    RoutingSpec routing;
    routing.source = RoutingSource::zipf;
    routing.skew = skew;
    routing.node_limit = node_limit;
    return routing;
}

RoutingSpec router(double spread, std::int64_t bias_updates = 0) {
    RoutingSpec routing;
    routing.source = RoutingSource::router;
    routing.affinity_spread = spread;
    routing.bias_update_speed = 0.004;
    routing.bias_updates = bias_updates;
    return routing;
}

double sum(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

TEST_CASE("loads: one expert a token is chosen as the power law says", "[model][router][loads]") {
    const ExpertLoads loads = sampled_loads(router_config(16, 1), kFourNodes, zipf(1.2), 3);
    std::vector<double> shares = loads.experts;
    std::sort(shares.begin(), shares.end(), std::greater<>());
    double all = 0;
    for (int k = 1; k <= 16; ++k) {
        all += std::pow(k, -1.2);
    }
    for (int k = 1; k <= 4; ++k) {
        INFO("expert " << k);
        CHECK(shares[static_cast<std::size_t>(k - 1)] ==
              Approx(std::pow(k, -1.2) / all).margin(0.008));  // four standard deviations
    }
}

TEST_CASE("loads: without skew they are those of balanced routing", "[model][router][loads]") {
    const ModelConfig config = router_config(16, 4);
    for (const std::int64_t limit : {0, 2}) {
        const ExpertTraffic even = balanced_traffic(config, kFourNodes, limit, 1);
        for (const RoutingSpec& routing : {zipf(0, limit), zipf(0.4, limit)}) {
            const ExpertLoads loads = sampled_loads(config, kFourNodes, routing, 1);
            INFO("limit " << limit << ", skew " << routing.skew);
            CHECK(sum(loads.experts) == Approx(4));
            CHECK(sum(loads.rows) == Approx(4 * 8));
            CHECK(sum(loads.traffic.to_nodes) == Approx(loads.mean.nodes_per_token));
            CHECK(sum(loads.traffic.to_ranks) == Approx(loads.mean.ranks_per_token));
            // A source is on each node once in four times, whatever the node's load.
            CHECK(loads.mean.ib_copies_per_token == Approx(loads.mean.nodes_per_token * 3 / 4));
            if (limit > 0) {
                CHECK(loads.mean.nodes_per_token_max == limit);
            }
            if (routing.skew == 0) {
                CHECK(loads.mean.nodes_per_token == Approx(even.nodes_per_token).epsilon(0.01));
                CHECK(loads.mean.ranks_per_token == Approx(even.ranks_per_token).epsilon(0.01));
                for (const double rows : loads.rows) {
                    CHECK(rows == Approx(4).epsilon(0.03));
                }
            }
        }
    }
}

TEST_CASE("loads: more skew is more uneven, and the bias evens it out", "[model][router][loads]") {
    const ModelConfig config = router_config(16, 2);
    const auto spread = [&](const RoutingSpec& routing) {
        return load_spread(sampled_loads(config, kFourNodes, routing, 5).experts);
    };
    CHECK(spread(zipf(0.2)).max_over_mean > spread(zipf(0)).max_over_mean + 0.1);
    CHECK(spread(zipf(0.8)).gini > spread(zipf(0.2)).gini + 0.1);
    const LoadSpread plain = spread(router(0.5));
    const LoadSpread biased = spread(router(0.5, 100));
    CHECK(plain.max_over_mean > 1.5);
    CHECK(biased.max_over_mean < 1.1);
    CHECK(biased.gini < 0.2 * plain.gini);
}

TEST_CASE("loads: rotated loads lie elsewhere and are the same", "[model][router][loads]") {
    const ExpertLoads loads = sampled_loads(router_config(16, 2), kFourNodes, zipf(1), 7);
    const ExpertLoads moved = rotated(loads, 3, 1);
    for (std::size_t rank = 0; rank < 8; ++rank) {
        const std::size_t to = (rank / 2 + 3) % 4 * 2 + (rank + 1) % 2;
        CHECK(moved.rows[to] == loads.rows[rank]);
        CHECK(moved.traffic.to_ranks[to] == loads.traffic.to_ranks[rank]);
        CHECK(moved.traffic.to_nodes[to / 2] == loads.traffic.to_nodes[rank / 2]);
    }
}

TEST_CASE("loads: spread of lists worked out by hand", "[model][router][loads]") {
    // Gini: mean absolute difference over twice the mean. {1, 1, 4}: 4 x 3 / 9 / (2 x 2) = 1/3.
    const LoadSpread spread = load_spread(std::vector<double>{4, 1, 1});
    CHECK(spread.max_over_mean == Approx(2));
    CHECK(spread.gini == Approx(1.0 / 3));
    CHECK(load_spread(std::vector<double>{2, 2}).gini == Approx(0).margin(1e-12));
}

}  // namespace r1
