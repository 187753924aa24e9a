// One output of the GRPO objective, in double, for all versions: a token costs a thousandth of
// what its logits do, so there is nothing to gain from vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/grpo.hpp"

namespace r1 {

// (reward - mean) / standard deviation within the group of one output.
R1_HOST_DEVICE inline double grpo_advantage(const GrpoAdvantagesArgs& args, std::int64_t output) {
    const auto over_group = [&](const auto& value) {
        double sum = 0;
        for (std::int64_t i = 0; i < args.outputs; ++i) {
            sum += args.group[i] == args.group[output] ? value(args.rewards[i]) : 0.0;
        }
        return sum;
    };
    const double size = over_group([](float /*reward*/) { return 1.0; });
    const double mean = over_group([](float reward) { return reward; }) / size;
    const double squares =
        over_group([mean](float reward) { return (reward - mean) * (reward - mean); });
    return squares == 0 ? 0
                        : (args.rewards[output] - mean) /
                              std::sqrt(squares / (size - static_cast<double>(args.ddof)));
}

// What each token of an output weighs in the loss; 0 if the output has none.
R1_HOST_DEVICE inline double grpo_token_weight(const GrpoBatch& batch, std::int64_t length) {
    const auto tokens = batch.mean == GrpoMean::outputs ? length : 1;
    return length == 0 ? 0 : 1 / (static_cast<double>(batch.count) * static_cast<double>(tokens));
}

inline std::int64_t grpo_length(const GrpoBatch& batch, std::int64_t output) {
    const std::int32_t* mask = batch.mask + output * batch.length_max;
    return batch.length_max - std::count(mask, mask + batch.length_max, 0);
}

struct GrpoToken {
    double ratio = 0;
    double surrogate = 0;
    double k3 = 0;
    double d_nll = 0;  // of surrogate - beta * k3
};

R1_HOST_DEVICE inline GrpoToken grpo_token(const GrpoBatch& batch, std::int64_t output,
                                           std::int64_t position) {
    const std::int64_t at = output * batch.length_max + position;
    if (batch.mask[at] == 0) {
        return {};
    }
    const double nll = batch.nll[at];
    const double over_reference = nll - static_cast<double>(batch.ref_nll[at]);
    const double advantage = batch.advantages[output];
    const double clip = batch.clip;
    GrpoToken token;
    token.ratio = std::exp(static_cast<double>(batch.old_nll[at]) - nll);
    const double unclipped = token.ratio * advantage;
    const double clipped = std::clamp(token.ratio, 1 - clip, 1 + clip) * advantage;
    token.surrogate = std::min(unclipped, clipped);
    const double excess = std::expm1(over_reference);  // k3 keeps its digits near zero
    token.k3 = excess - over_reference;
    // Where the clipped value is the smaller one, it is a constant.
    token.d_nll = -(unclipped <= clipped ? unclipped : 0) - batch.beta * excess;
    return token;
}

// Returns what the output adds to the loss.
inline double grpo_output(const GrpoObjectiveArgs& args, std::int64_t output) {
    const GrpoBatch& batch = args.batch;
    double sum = 0;
    for (std::int64_t position = 0; position < batch.length_max; ++position) {
        const GrpoToken token = grpo_token(batch, output, position);
        const std::int64_t at = output * batch.length_max + position;
        args.ratio[at] = static_cast<float>(token.ratio);
        args.surrogate[at] = static_cast<float>(token.surrogate);
        args.k3[at] = static_cast<float>(token.k3);
        sum += token.surrogate - batch.beta * token.k3;
    }
    return -grpo_token_weight(batch, grpo_length(batch, output)) * sum;
}

inline void grpo_output_backward(const GrpoBackwardArgs& args, std::int64_t output) {
    const GrpoBatch& batch = args.batch;
    const double weight = grpo_token_weight(batch, grpo_length(batch, output));
    for (std::int64_t position = 0; position < batch.length_max; ++position) {
        args.d_nll[output * batch.length_max + position] =
            static_cast<float>(-weight * grpo_token(batch, output, position).d_nll);
    }
}

}  // namespace r1
