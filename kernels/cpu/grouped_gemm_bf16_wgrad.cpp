#include "kernels/grouped_gemm_bf16_wgrad.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

namespace {

GemmProblem bf16_wgrad_problem(const void* from, std::int64_t expert) {
    const auto& a = *static_cast<const GroupedGemmBf16WgradArgs*>(from);
    return {.m = a.m,
            .n = a.n,
            .k = a.offsets[a.experts],
            .k_begin = a.offsets[expert],
            .k_end = a.offsets[expert + 1],
            .x = a.grad,
            .w = a.x,
            .y = {a.y + expert * a.m * a.n, DType::f32, a.n},
            .x_transposed = !a.transposed,
            .w_transposed = !a.transposed,
            .accumulate = true};
}

}  // namespace

std::size_t grouped_gemm_bf16_wgrad_workspace_bytes(const GroupedGemmBf16WgradArgs& args) {
    return gemm_workspace_bytes(args.n);
}

void grouped_gemm_bf16_wgrad(const GroupedGemmBf16WgradArgs& args) {
    gemm_tiles(args.experts, args.n, args.m, &args, bf16_wgrad_problem, args.workspace);
}

}  // namespace r1::cpu
