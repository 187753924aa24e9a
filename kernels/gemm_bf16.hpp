// y = x W^T in the storage type of the run, BF16 or F32; sums are float32. The gradient of x is
// such a product too: grad_x = grad_y W, with W as its layer stores it, `w_transposed`.
//
// The CPU version adds the products of an element of y one by one in the order of k, whatever the
// sizes and the number of threads. So a row of y depends on its row of x only: a token's result
// is the same bytes alone and in a batch. Products of BF16 values are exact in float32, so fused
// and separate multiply-adds give the same bytes for them on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct GemmBf16Args {
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    ConstMatrix x;  // [m, k]
    ConstMatrix w;  // [n, k], or [k, n] if w_transposed
    Matrix y;       // [m, n]
    std::span<std::byte> workspace;
    bool w_transposed = false;
    bool accumulate = false;  // adds to y, which is f32: the whole sum at once
};

namespace reference {
void gemm_bf16(const GemmBf16Args& args);  // sums in double
}
namespace cpu {
std::size_t gemm_bf16_workspace_bytes(const GemmBf16Args& args);
void gemm_bf16(const GemmBf16Args& args);
}  // namespace cpu
namespace cuda {
std::size_t gemm_bf16_workspace_bytes(const GemmBf16Args& args);
void gemm_bf16(const GemmBf16Args& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
