// Group relative policy optimisation (arXiv 2402.03300, sec. 4.1; 2501.12948, sec. 2.2.1): several
// outputs to one question form a group, and their rewards relative to it take the place of a value
// model. With lp the log probability that the policy gives a token,
//   ratio = e^(lp - old lp), surrogate = min(ratio * A, clamp(ratio, 1 - clip, 1 + clip) * A)
//   k3 = e^(ref lp - lp) - (ref lp - lp) - 1, an estimate of the KL divergence from the reference
//   loss = -sum of weight * (surrogate - beta * k3)
// Log probabilities come as cross_entropy() gives them, nll = -lp, and the gradient goes back by
// cross_entropy_backward() with d_nll as its row_scales.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"

namespace r1 {

struct GrpoAdvantagesArgs {
    std::int64_t outputs = 0;
    std::int64_t ddof = 0;                // 0: standard deviation of the group, 1: of a sample
    const float* rewards = nullptr;       // [outputs]
    const std::int32_t* group = nullptr;  // [outputs] equal numbers: one group
    // [outputs] (reward - mean) / standard deviation of its group; 0 where all rewards of the group
    // are the same.
    float* advantages = nullptr;
};

// What a token weighs in the loss: outputs alike, each the mean over its tokens (1 / (its tokens *
// count), count = outputs of the batch), or all tokens alike (1 / count, count = tokens).
enum class GrpoMean { outputs, tokens };

// Micro-batches and ranks hold outputs of one batch; `count` is the whole batch's.
struct GrpoBatch {
    std::int64_t outputs = 0;
    std::int64_t length_max = 0;
    float clip = 0.2F;
    float beta = 0;
    GrpoMean mean = GrpoMean::outputs;
    std::int64_t count = 1;
    // [outputs, length_max]; read where mask is not zero
    const float* nll = nullptr;          // of the policy
    const float* old_nll = nullptr;      // of the policy that made the outputs
    const float* ref_nll = nullptr;      // of the reference policy
    const std::int32_t* mask = nullptr;  // [outputs, length_max]; 0: not a token of the output
    const float* advantages = nullptr;   // [outputs]
};

struct GrpoObjectiveArgs {
    GrpoBatch batch;
    // [outputs, length_max]; 0 where mask is
    float* ratio = nullptr;
    float* surrogate = nullptr;
    float* k3 = nullptr;
    float* loss = nullptr;  // [outputs] what each adds to the loss
};

struct GrpoBackwardArgs {
    GrpoBatch batch;
    float* d_nll = nullptr;  // [outputs, length_max]; 0 where mask is
};

namespace reference {
void grpo_advantages(const GrpoAdvantagesArgs& args);
void grpo_objective(const GrpoObjectiveArgs& args);
void grpo_backward(const GrpoBackwardArgs& args);
}  // namespace reference
namespace cpu {
void grpo_advantages(const GrpoAdvantagesArgs& args);
void grpo_objective(const GrpoObjectiveArgs& args);
void grpo_backward(const GrpoBackwardArgs& args);
}  // namespace cpu
namespace cuda {
void grpo_advantages(const GrpoAdvantagesArgs& args, const Launch& launch);
void grpo_objective(const GrpoObjectiveArgs& args, const Launch& launch);
void grpo_backward(const GrpoBackwardArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
