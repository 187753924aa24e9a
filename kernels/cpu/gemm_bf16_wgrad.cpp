#include "kernels/gemm_bf16_wgrad.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

std::size_t gemm_bf16_wgrad_workspace_bytes(const GemmBf16WgradArgs& args) {
    return gemm_workspace_bytes(args.n);
}

void gemm_bf16_wgrad(const GemmBf16WgradArgs& args) {
    const auto problem = [](const void* from, std::int64_t /*index*/) {
        const auto& a = *static_cast<const GemmBf16WgradArgs*>(from);
        return GemmProblem{.m = a.m,
                           .n = a.n,
                           .k = a.k,
                           .k_end = a.k,
                           .x = a.grad,
                           .w = a.x,
                           .y = {a.y, DType::f32, a.n},
                           .x_transposed = true,
                           .w_transposed = true,
                           .accumulate = true};
    };
    gemm_tiles(1, args.n, args.m, &args, problem, args.workspace);
}

}  // namespace r1::cpu
