// Gradients of y = x * f * weight with f = rsqrt(mean(x^2) + eps), row by row:
//   dx = f * (grad * weight) - x * f^3 / width * sum(grad * weight * x) + residual
//   weight_grad += sum over rows of grad * x * f
//
// Where the norm covers only the first columns of x (kv_a's leaves out the rotary key), the
// gradient of the others comes from elsewhere: it is the tail of dx.
//
// The CPU version sums weight_grad over blocks of rows, then the blocks in order. The blocks
// depend on `rows` only, so the bytes do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct RmsNormBackwardArgs {
    std::int64_t rows = 0;
    std::int64_t width = 0;       // of the norm
    std::int64_t tail_width = 0;  // columns behind it
    float epsilon = 1e-6F;
    ConstMatrix x;                 // [rows, >= width]
    ConstMatrix grad;              // [rows, width], of y
    ConstMatrix weight;            // [1, width]
    ConstMatrix residual;          // [rows, width] added to dx; no data: none
    ConstMatrix tail;              // [rows, tail_width] copied behind the norm's columns of dx
    Matrix dx;                     // [rows, width + tail_width]
    float* weight_grad = nullptr;  // [width], added to
    std::span<std::byte> workspace;
};

namespace reference {
void rms_norm_backward(const RmsNormBackwardArgs& args);  // sums in double; needs no workspace
}
namespace cpu {
std::size_t rms_norm_backward_workspace_bytes(const RmsNormBackwardArgs& args);
void rms_norm_backward(const RmsNormBackwardArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t rms_norm_backward_workspace_bytes(const RmsNormBackwardArgs& args);
void rms_norm_backward(const RmsNormBackwardArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
