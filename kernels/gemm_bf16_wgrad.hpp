// The gradient of a weight: y += grad^T x, summed over the tokens, in the storage type of the run.
//
// As gemm_bf16, the CPU version adds an element's products one by one in the order of the tokens,
// in float32 and from zero; the whole sum is then added to y. So micro-batches add up to the same
// bytes however the threads share the work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct GemmBf16WgradArgs {
    std::int64_t m = 0;  // outputs of the layer
    std::int64_t n = 0;  // its inputs
    std::int64_t k = 0;  // tokens
    ConstMatrix grad;    // [k, m]
    ConstMatrix x;       // [k, n]
    float* y = nullptr;  // [m, n], added to
    std::span<std::byte> workspace;
};

namespace reference {
void gemm_bf16_wgrad(const GemmBf16WgradArgs& args);  // sums in double
}
namespace cpu {
std::size_t gemm_bf16_wgrad_workspace_bytes(const GemmBf16WgradArgs& args);
void gemm_bf16_wgrad(const GemmBf16WgradArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t gemm_bf16_wgrad_workspace_bytes(const GemmBf16WgradArgs& args);
void gemm_bf16_wgrad(const GemmBf16WgradArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
