#include "model/routing/router.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace r1 {

namespace {

std::vector<float> scores_of(const RouterSettings& settings, std::span<const float> logits) {
    std::vector<float> scores(logits.begin(), logits.end());
    if (settings.scoring_func == ScoringFunc::sigmoid) {
        for (float& score : scores) {
            score = 1.0F / (1.0F + std::exp(-score));
        }
        return scores;
    }
    const float largest = *std::max_element(scores.begin(), scores.end());
    float sum = 0;
    for (float& score : scores) {
        score = std::exp(score - largest);
        sum += score;
    }
    for (float& score : scores) {
        score /= sum;
    }
    return scores;
}

// Indices of the `count` largest values, largest first; the smaller index wins ties.
std::vector<std::int32_t> top(std::span<const float> values, std::int64_t count) {
    std::vector<std::int32_t> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    const auto better = [&](std::int32_t a, std::int32_t b) {
        const float x = values[static_cast<std::size_t>(a)];
        const float y = values[static_cast<std::size_t>(b)];
        return x > y || (x == y && a < b);
    };
    std::partial_sort(order.begin(), order.begin() + count, order.end(), better);
    order.resize(static_cast<std::size_t>(count));
    return order;
}

void drop_groups(const RouterSettings& settings, std::vector<float>& choice) {
    const std::int64_t size = settings.experts / settings.groups;
    std::vector<float> group_scores;
    for (std::int64_t group = 0; group < settings.groups; ++group) {
        const std::span<const float> members(choice.data() + group * size,
                                             static_cast<std::size_t>(size));
        const bool pairs = settings.topk_method == TopkMethod::noaux_tc;
        float score = 0;
        for (const std::int32_t best : top(members, std::min<std::int64_t>(pairs ? 2 : 1, size))) {
            score += members[static_cast<std::size_t>(best)];
        }
        group_scores.push_back(score);
    }
    std::vector<bool> kept(static_cast<std::size_t>(settings.groups));
    for (const std::int32_t group : top(group_scores, settings.groups_per_token)) {
        kept[static_cast<std::size_t>(group)] = true;
    }
    for (std::int64_t expert = 0; expert < settings.experts; ++expert) {
        if (!kept[static_cast<std::size_t>(expert / size)]) {
            choice[static_cast<std::size_t>(expert)] = -INFINITY;
        }
    }
}

}  // namespace

RouterSettings router_settings(const ModelConfig& config) {
    RouterSettings settings;
    settings.scoring_func = config.scoring_func;
    settings.topk_method = config.topk_method;
    settings.experts = config.n_routed_experts;
    settings.experts_per_token = config.num_experts_per_tok;
    const bool grouped = config.topk_method != TopkMethod::greedy;
    settings.groups = grouped ? config.n_group : 1;
    settings.groups_per_token = grouped ? config.topk_group : 1;
    settings.normalize = config.norm_topk_prob;
    settings.scaling_factor = config.routed_scaling_factor;
    return settings;
}

RouterChoice choose_experts(const RouterSettings& settings, std::span<const float> logits,
                            std::span<const float> bias) {
    const std::vector<float> scores = scores_of(settings, logits);
    std::vector<float> choice = scores;
    for (std::size_t i = 0; i < bias.size(); ++i) {
        choice[i] += bias[i];
    }
    if (settings.groups > 1) {
        drop_groups(settings, choice);
    }
    RouterChoice result;
    result.experts = top(choice, settings.experts_per_token);
    float sum = 0;
    for (const std::int32_t expert : result.experts) {
        result.weights.push_back(scores[static_cast<std::size_t>(expert)]);
        sum += result.weights.back();
    }
    for (float& weight : result.weights) {
        if (settings.normalize) {
            weight /= sum;
        }
        weight *= static_cast<float>(settings.scaling_factor);
    }
    return result;
}

}  // namespace r1
