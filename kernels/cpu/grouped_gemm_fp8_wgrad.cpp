#include "kernels/grouped_gemm_fp8_wgrad.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

namespace {

GemmProblem fp8_wgrad_problem(const void* from, std::int64_t expert) {
    const auto& a = *static_cast<const GroupedGemmFp8WgradArgs*>(from);
    const std::int64_t rows = a.offsets[a.experts];
    return {.m = a.m,
            .n = a.n,
            .k = rows,
            .k_begin = a.offsets[expert],
            .k_end = a.offsets[expert + 1],
            .x = {a.grad, DType::e4m3, rows},
            .w = {a.x, DType::e4m3, rows},
            .x_scales = a.grad_scales,
            .w_scales = a.x_scales,
            .y = {a.y + expert * a.m * a.n, DType::f32, a.n},
            .accumulate = true,
            .w_scaling = GemmProblem::Scaling::rows};
}

}  // namespace

std::size_t grouped_gemm_fp8_wgrad_workspace_bytes(const GroupedGemmFp8WgradArgs& args) {
    return gemm_workspace_bytes(args.n);
}

void grouped_gemm_fp8_wgrad(const GroupedGemmFp8WgradArgs& args) {
    gemm_tiles(args.experts, args.n, args.m, &args, fp8_wgrad_problem, args.workspace);
}

}  // namespace r1::cpu
