// Gradients of act = silu(gate) * up * row weight: with s = sigmoid(gate),
//   d_gate = d_act * weight * up * s * (1 + gate * (1 - s))
//   d_up = d_act * weight * silu(gate)
//   route_grad = sum over the row of d_act * silu(gate) * up, of the weight
// On request also act again, as kernels/swiglu.hpp writes it: the forward pass need not keep it.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct SwigluBackwardArgs {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    ConstMatrix gate_up;                 // [rows, 2 * width], gates first
    ConstMatrix d_act;                   // [rows, width]
    const float* row_weights = nullptr;  // [rows] or nullptr
    Matrix d_gate_up;                    // [rows, 2 * width]
    Matrix act;                          // [rows, width], row weights applied; no data: not wanted
    float* route_grad = nullptr;         // [rows] or nullptr
};

namespace reference {
void swiglu_backward(const SwigluBackwardArgs& args);  // sums in double
}
namespace cpu {
void swiglu_backward(const SwigluBackwardArgs& args);
}
namespace cuda {
void swiglu_backward(const SwigluBackwardArgs& args, const Launch& launch);
}

}  // namespace r1
