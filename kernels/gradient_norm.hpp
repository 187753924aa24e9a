// The sum of squares of all gradients, for clipping by their global norm. Ranks and stages pass it
// on before anyone takes the root, so it is the sum that is the result. The CUDA version reads the
// list of gradients on the host, the gradients themselves on the device.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/cuda/launch.hpp"

namespace r1 {

struct GradientNormArgs {
    std::span<const std::span<const float>> gradients;
    float carried = 0;                 // the sum of squares of gradients that others counted
    float* sum_of_squares = nullptr;   // [1]
    std::span<std::byte> workspace{};  // of the CUDA version
};

namespace reference {
void gradient_norm(const GradientNormArgs& args);
}
namespace cpu {
void gradient_norm(const GradientNormArgs& args);  // double, in blocks of a fixed size
}
namespace cuda {
std::size_t gradient_norm_workspace_bytes(const GradientNormArgs& args);
void gradient_norm(const GradientNormArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
