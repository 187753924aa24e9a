#include "kernels/router_topk.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace r1::reference {

namespace {

using Scores = std::array<float, kRouterExpertsMax>;

float& at(Scores& scores, std::int64_t i) { return scores[static_cast<std::size_t>(i)]; }

void score(const RouterTopkArgs& args, const float* logits, Scores& scores) {
    if (args.score == RouterScore::sigmoid) {
        for (std::int64_t i = 0; i < args.experts; ++i) {
            at(scores, i) = 1.0F / (1.0F + std::exp(-logits[i]));
        }
        return;
    }
    float largest = logits[0];
    for (std::int64_t i = 0; i < args.experts; ++i) {
        largest = std::max(largest, logits[i]);
    }
    float sum = 0;
    for (std::int64_t i = 0; i < args.experts; ++i) {
        at(scores, i) = std::exp(logits[i] - largest);
        sum += at(scores, i);
    }
    for (std::int64_t i = 0; i < args.experts; ++i) {
        at(scores, i) /= sum;
    }
}

// The largest of values[begin, end) that is not taken; -1 if all are.
std::int64_t best(Scores& values, const std::array<bool, kRouterExpertsMax>& taken,
                  std::int64_t begin, std::int64_t end) {
    std::int64_t winner = -1;
    for (std::int64_t i = begin; i < end; ++i) {
        if (!taken[static_cast<std::size_t>(i)] &&
            (winner < 0 || at(values, i) > at(values, winner))) {
            winner = i;
        }
    }
    return winner;
}

void drop_groups(const RouterTopkArgs& args, Scores& choice) {
    const std::int64_t size = args.experts / args.groups;
    const std::int64_t counted =
        std::min<std::int64_t>(args.group_score == RouterGroupScore::two_best ? 2 : 1, size);
    Scores group_scores{};
    for (std::int64_t group = 0; group < args.groups; ++group) {
        std::array<bool, kRouterExpertsMax> taken{};
        for (std::int64_t i = 0; i < counted; ++i) {
            const std::int64_t expert = best(choice, taken, group * size, (group + 1) * size);
            taken[static_cast<std::size_t>(expert)] = true;
            at(group_scores, group) += at(choice, expert);
        }
    }
    std::array<bool, kRouterExpertsMax> kept{};
    for (std::int64_t i = 0; i < args.groups_per_token; ++i) {
        kept[static_cast<std::size_t>(best(group_scores, kept, 0, args.groups))] = true;
    }
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        if (!kept[static_cast<std::size_t>(expert / size)]) {
            at(choice, expert) = -INFINITY;
        }
    }
}

}  // namespace

void router_topk(const RouterTopkArgs& args) {
    R1_CHECK(args.experts <= kRouterExpertsMax && args.experts_per_token <= args.experts);
    R1_CHECK(args.groups >= 1 && args.experts % args.groups == 0 &&
             args.groups_per_token <= args.groups);
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        Scores scores{};
        score(args, args.logits + t * args.experts, scores);
        Scores choice = scores;
        for (std::int64_t i = 0; i < args.experts && args.bias != nullptr; ++i) {
            at(choice, i) += args.bias[i];
        }
        if (args.groups > 1) {
            drop_groups(args, choice);
        }
        std::int32_t* indices = args.indices + t * args.experts_per_token;
        float* weights = args.weights + t * args.experts_per_token;
        std::array<bool, kRouterExpertsMax> taken{};
        float sum = 0;
        for (std::int64_t i = 0; i < args.experts_per_token; ++i) {
            const std::int64_t expert = best(choice, taken, 0, args.experts);
            taken[static_cast<std::size_t>(expert)] = true;
            indices[i] = static_cast<std::int32_t>(expert);
            weights[i] = at(scores, expert);
            sum += weights[i];
        }
        for (std::int64_t i = 0; i < args.experts_per_token; ++i) {
            weights[i] = (args.normalize ? weights[i] / sum : weights[i]) * args.scaling_factor;
        }
    }
}

}  // namespace r1::reference
