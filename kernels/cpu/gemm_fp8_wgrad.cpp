#include "kernels/gemm_fp8_wgrad.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

std::size_t gemm_fp8_wgrad_workspace_bytes(const GemmFp8WgradArgs& args) {
    return gemm_workspace_bytes(args.n);
}

void gemm_fp8_wgrad(const GemmFp8WgradArgs& args) {
    const auto problem = [](const void* from, std::int64_t /*index*/) {
        const auto& a = *static_cast<const GemmFp8WgradArgs*>(from);
        return GemmProblem{.m = a.m,
                           .n = a.n,
                           .k = a.k,
                           .k_end = a.k,
                           .x = {a.grad, DType::e4m3, a.k},
                           .w = {a.x, DType::e4m3, a.k},
                           .x_scales = a.grad_scales,
                           .w_scales = a.x_scales,
                           .y = {a.y, DType::f32, a.n},
                           .accumulate = true,
                           .w_scaling = GemmProblem::Scaling::rows};
    };
    gemm_tiles(1, args.n, args.m, &args, problem, args.workspace);
}

}  // namespace r1::cpu
