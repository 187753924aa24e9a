// How the tokens of one expert layer spread over experts, ranks and nodes.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/routing/group_traffic.hpp"
#include "model/routing/routing_spec.hpp"

namespace r1 {

struct ExpertLoads {
    GroupTraffic traffic;
    std::vector<double> rows;     // by rank: its experts', per token of a source; mean: top-k
    std::vector<double> experts;  // by expert: share of the tokens that choose it; sum: top-k
    ExpertTraffic mean;           // of all ranks
};

// Of what the routers choose when tokens are drawn from `seed`: source `zipf` or `router`. All
// sources of a group are alike. A balanced placement knows these loads, and has slots for
// `redundant_experts` more than the model has.
ExpertLoads sampled_loads(const ModelConfig& config, const ExpertGroupShape& group,
                          const RoutingSpec& routing, std::uint64_t seed,
                          std::int64_t redundant_experts = 0);

// The same on other ranks: `nodes` nodes further, and on each node `locals` ranks further.
ExpertLoads rotated(const ExpertLoads& loads, std::int64_t nodes, std::int64_t locals);

// Fills in `mean`, from the traffic.
ExpertTraffic mean_traffic(const GroupTraffic& traffic);

}  // namespace r1
