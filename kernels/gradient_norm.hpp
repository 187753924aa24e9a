// The sum of squares of all gradients, for clipping by their global norm. Ranks and stages pass it
// on before anyone takes the root, so it is the sum that is the result.
#pragma once

#include <span>

namespace r1 {

struct GradientNormArgs {
    std::span<const std::span<const float>> gradients;
    float carried = 0;                // the sum of squares of gradients that others counted
    float* sum_of_squares = nullptr;  // [1]
};

namespace reference {
void gradient_norm(const GradientNormArgs& args);
}
namespace cpu {
void gradient_norm(const GradientNormArgs& args);  // double, in blocks of a fixed size
}

}  // namespace r1
