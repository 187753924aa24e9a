#include "kernels/gradient_norm.hpp"

namespace r1::reference {

void gradient_norm(const GradientNormArgs& args) {
    double sum = args.carried;
    for (const std::span<const float> gradient : args.gradients) {
        for (const float g : gradient) {
            sum += static_cast<double>(g) * static_cast<double>(g);
        }
    }
    *args.sum_of_squares = static_cast<float>(sum);
}

}  // namespace r1::reference
