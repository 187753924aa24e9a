#include "kernels/gemm_fp8_wgrad.hpp"

#include <array>

#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "model/base/check.hpp"

namespace r1::reference {

void gemm_fp8_wgrad(const GemmFp8WgradArgs& args) {
    const std::array<std::int32_t, 2> offsets = {0, static_cast<std::int32_t>(args.k)};
    R1_CHECK(offsets[1] == args.k);
    grouped_gemm_fp8_wgrad({1, args.k, args.m, args.n, offsets.data(), args.grad, args.grad_scales,
                            args.x, args.x_scales, args.y, args.workspace});
}

}  // namespace r1::reference
