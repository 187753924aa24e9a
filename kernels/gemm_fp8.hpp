// y = x W^T with block scales and promotion (arXiv 2412.19437, sec. 3.3.2): the products of 128
// elements of k are summed in float32 in the order of k, multiplied by the scale of the tile of x,
// then by the scale of the block of W, and added in float32. The C++ versions do just that:
// products of E4M3 values are exact in float32, so they agree to the bit. The CUDA version adds the
// 128 products in the order and precision of the tensor cores.
//
// The gradient of x is such a product too: grad_x = grad_y W, with W and its scales as its layer
// stores them, `w_transposed`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct GemmFp8Args {
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    const std::uint8_t* x = nullptr;  // [m, k] e4m3
    const float* x_scales = nullptr;  // [m, tiles(k)]
    const std::uint8_t* w = nullptr;  // [n, k] e4m3, or [k, n] if w_transposed
    const float* w_scales = nullptr;  // [tiles(n), tiles(k)], or [tiles(k), tiles(n)]
    Matrix y;                         // [m, n]
    std::span<std::byte> workspace;
    bool w_transposed = false;
};

namespace reference {
void gemm_fp8(const GemmFp8Args& args);
}
namespace cpu {
std::size_t gemm_fp8_workspace_bytes(const GemmFp8Args& args);
void gemm_fp8(const GemmFp8Args& args);
}  // namespace cpu
namespace cuda {
std::size_t gemm_fp8_workspace_bytes(const GemmFp8Args& args);
void gemm_fp8(const GemmFp8Args& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
