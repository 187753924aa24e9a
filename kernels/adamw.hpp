// One AdamW step (arXiv 1711.05101: decoupled weight decay) on FP32 master parameters. Moments are
// stored as BF16 in DeepSeek-V3 (arXiv 2412.19437, sec. 3.3.3); the update uses their float32
// values before that rounding. Element by element, in float32:
//   g = gradient_scale * grad
//   m = beta1 * m + (1 - beta1) * g,  v = beta2 * v + (1 - beta2) * g^2
//   master = master * (1 - lr * weight_decay) - lr * m' / (sqrt(v') + epsilon)
// where m' = m / (1 - beta1^step) and v' = v / (1 - beta2^step).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct AdamwArgs {
    std::int64_t elements = 0;
    std::int64_t step = 1;  // counts from 1
    double lr = 0;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
    float gradient_scale = 1;     // what clipping leaves of the gradient
    const float* grad = nullptr;  // [elements]
    float* master = nullptr;      // [elements], in and out
    Matrix exp_avg;               // [1, elements] m, f32 or bf16, in and out; zero before step 1
    Matrix exp_avg_sq;            // [1, elements] v, likewise
    Matrix updated;  // [1, elements] the new master as f32 or bf16; no data: not wanted
};

// What does not depend on the element, rounded to float32 once. All versions use it: they give
// the same bytes.
struct AdamwFactors {
    explicit AdamwFactors(const AdamwArgs& args)
        : beta1(static_cast<float>(args.beta1)),
          beta2(static_cast<float>(args.beta2)),
          rest1(static_cast<float>(1 - args.beta1)),
          rest2(static_cast<float>(1 - args.beta2)),
          correction1(static_cast<float>(1 - std::pow(args.beta1, static_cast<double>(args.step)))),
          correction2(static_cast<float>(1 - std::pow(args.beta2, static_cast<double>(args.step)))),
          lr(static_cast<float>(args.lr)),
          epsilon(static_cast<float>(args.epsilon)),
          decay(static_cast<float>(1 - args.lr * args.weight_decay)) {
        R1_CHECK(args.step >= 1);
    }

    float beta1, beta2;              // shares of the old moments
    float rest1, rest2;              // of the new gradient
    float correction1, correction2;  // 1 - beta^step
    float lr, epsilon;
    float decay;  // 1 - lr * weight_decay
};

namespace reference {
void adamw(const AdamwArgs& args);
}
namespace cpu {
void adamw(const AdamwArgs& args);
}
namespace cuda {
void adamw(const AdamwArgs& args, const Launch& launch);
}

}  // namespace r1
