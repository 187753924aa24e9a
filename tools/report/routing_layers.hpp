// How unevenly each expert layer's tokens spread: routing.layers of a report, for heat maps.
#pragma once

#include <cstdint>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/routing/expert_routing.hpp"

namespace r1 {

// [{"layer", "expert_load", "node_share"}], by layer of the model: in per cent, the tokens of each
// expert over the mean over experts, and which share of the tokens each node of an expert-parallel
// group gets; means over micro-batches, groups and sources. Empty for even routing.
Json routing_layers_json(const ExpertRouting& routing,
                         const std::vector<std::int64_t>& stage_layers);

// Of tokens counted by layer and expert (none of dense layers). Without node shares.
Json routing_layers_json(const std::vector<std::vector<std::int32_t>>& tokens);

}  // namespace r1
