// Expert choice of DeepSeek-V3 (arXiv 2412.19437, sec. 2.1.2; inference model.py Gate), and what it
// sends where.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/config/model_config.hpp"

namespace r1 {

struct RouterSettings {
    ScoringFunc scoring_func = ScoringFunc::sigmoid;
    TopkMethod topk_method = TopkMethod::noaux_tc;
    std::int64_t experts = 0;
    std::int64_t experts_per_token = 0;
    std::int64_t groups = 1;
    std::int64_t groups_per_token = 1;
    bool normalize = true;
    double scaling_factor = 1;
};
RouterSettings router_settings(const ModelConfig& config);

struct RouterChoice {
    std::vector<std::int32_t> experts;  // by descending choice score
    std::vector<float> weights;         // same order
};

// One token. logits: [experts]; bias: [experts] or empty. A group counts as the sum of its two
// best choices (noaux_tc) or its best (group_limited_greedy); experts of dropped groups are out.
// Ties go to the smaller index.
RouterChoice choose_experts(const RouterSettings& settings, std::span<const float> logits,
                            std::span<const float> bias);

}  // namespace r1
