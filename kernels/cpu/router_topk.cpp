#include "kernels/router_topk.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/parallel_for.hpp"

namespace r1::cpu {

namespace {

using Scores = std::array<float, kRouterExpertsMax>;
using Indices = std::array<std::int32_t, kRouterExpertsMax>;

// The same sums in the same order as the reference: both choose the same experts.
void score(const RouterTopkArgs& args, const float* logits, float* scores) {
    if (args.score == RouterScore::sigmoid) {
        for (std::int64_t i = 0; i < args.experts; ++i) {
            scores[i] = 1.0F / (1.0F + std::exp(-logits[i]));
        }
        return;
    }
    const float largest = *std::max_element(logits, logits + args.experts);
    float sum = 0;
    for (std::int64_t i = 0; i < args.experts; ++i) {
        scores[i] = std::exp(logits[i] - largest);
        sum += scores[i];
    }
    for (std::int64_t i = 0; i < args.experts; ++i) {
        scores[i] /= sum;
    }
}

// The indices of the `count` largest of values[0, size), largest first: one pass that keeps the
// best so far in order. A later index goes behind equals, so ties stay with the smaller one.
void top(const float* values, std::int64_t size, std::int64_t count, std::int32_t* best) {
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < size; ++i) {
        if (kept == count && !(values[i] > values[best[count - 1]])) {
            continue;
        }
        std::int64_t place = kept < count ? kept++ : count - 1;
        for (; place > 0 && values[i] > values[best[place - 1]]; --place) {
            best[place] = best[place - 1];
        }
        best[place] = static_cast<std::int32_t>(i);
    }
}

void drop_groups(const RouterTopkArgs& args, float* choice) {
    const std::int64_t size = args.experts / args.groups;
    const std::int64_t counted =
        std::min<std::int64_t>(args.group_score == RouterGroupScore::two_best ? 2 : 1, size);
    Scores group_scores;
    Indices best;
    for (std::int64_t group = 0; group < args.groups; ++group) {
        const float* members = choice + group * size;
        top(members, size, counted, best.data());
        float sum = 0;
        for (std::int64_t i = 0; i < counted; ++i) {
            sum += members[best[static_cast<std::size_t>(i)]];
        }
        group_scores[static_cast<std::size_t>(group)] = sum;
    }
    top(group_scores.data(), args.groups, args.groups_per_token, best.data());
    const auto kept_end = best.begin() + args.groups_per_token;
    for (std::int64_t group = 0; group < args.groups; ++group) {
        if (std::find(best.begin(), kept_end, static_cast<std::int32_t>(group)) == kept_end) {
            std::fill_n(choice + group * size, size, -INFINITY);
        }
    }
}

void route(const RouterTopkArgs& args, std::int64_t t) {
    Scores scores;
    score(args, args.logits + t * args.experts, scores.data());
    Scores choice;
    for (std::int64_t i = 0; i < args.experts; ++i) {
        const auto at = static_cast<std::size_t>(i);
        choice[at] = scores[at] + (args.bias != nullptr ? args.bias[i] : 0.0F);
    }
    if (args.groups > 1) {
        drop_groups(args, choice.data());
    }
    std::int32_t* indices = args.indices + t * args.experts_per_token;
    float* weights = args.weights + t * args.experts_per_token;
    top(choice.data(), args.experts, args.experts_per_token, indices);
    float sum = 0;
    for (std::int64_t i = 0; i < args.experts_per_token; ++i) {
        weights[i] = scores[static_cast<std::size_t>(indices[i])];
        sum += weights[i];
    }
    for (std::int64_t i = 0; i < args.experts_per_token; ++i) {
        weights[i] = (args.normalize ? weights[i] / sum : weights[i]) * args.scaling_factor;
    }
}

}  // namespace

void router_topk(const RouterTopkArgs& args) {
    R1_CHECK(args.experts <= kRouterExpertsMax && args.experts_per_token <= args.experts);
    R1_CHECK(args.groups >= 1 && args.experts % args.groups == 0 &&
             args.groups_per_token <= args.groups);
    parallel_for(args.tokens, args.experts * 8, [&](std::int64_t t) { route(args, t); });
}

}  // namespace r1::cpu
