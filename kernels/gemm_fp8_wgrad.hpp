// The gradient of a weight from FP8 operands: y += grad x^T over the tokens. Both operands lie
// transposed and have 1x128 tiles along the tokens (arXiv 2412.19437, sec. 3.3.2 and 3.3.3;
// requantize_transpose_fp8 makes them).
//
// As gemm_fp8: the products of 128 tokens are summed in float32 in their order, multiplied by the
// scale of the tile of grad, then of x, and added in float32; the whole sum is then added to y.
// The C++ versions agree to the bit; CUDA as in gemm_fp8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct GemmFp8WgradArgs {
    std::int64_t m = 0;                  // outputs of the layer
    std::int64_t n = 0;                  // its inputs
    std::int64_t k = 0;                  // tokens
    const std::uint8_t* grad = nullptr;  // [m, k] e4m3
    const float* grad_scales = nullptr;  // [m, tiles(k)]
    const std::uint8_t* x = nullptr;     // [n, k] e4m3
    const float* x_scales = nullptr;     // [n, tiles(k)]
    float* y = nullptr;                  // [m, n], added to
    std::span<std::byte> workspace;
};

namespace reference {
void gemm_fp8_wgrad(const GemmFp8WgradArgs& args);
}
namespace cpu {
std::size_t gemm_fp8_wgrad_workspace_bytes(const GemmFp8WgradArgs& args);
void gemm_fp8_wgrad(const GemmFp8WgradArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t gemm_fp8_wgrad_workspace_bytes(const GemmFp8WgradArgs& args);
void gemm_fp8_wgrad(const GemmFp8WgradArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
