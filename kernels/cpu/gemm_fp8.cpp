#include "kernels/gemm_fp8.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

std::size_t gemm_fp8_workspace_bytes(const GemmFp8Args& args) {
    return gemm_workspace_bytes(args.n);
}

void gemm_fp8(const GemmFp8Args& args) {
    const auto problem = [](const void* from, std::int64_t /*index*/) {
        const auto& a = *static_cast<const GemmFp8Args*>(from);
        return GemmProblem{.m = a.m,
                           .n = a.n,
                           .k = a.k,
                           .k_end = a.k,
                           .x = {a.x, DType::e4m3, a.k},
                           .w = {a.w, DType::e4m3, a.w_transposed ? a.n : a.k},
                           .x_scales = a.x_scales,
                           .w_scales = a.w_scales,
                           .y = a.y,
                           .w_transposed = a.w_transposed};
    };
    gemm_tiles(1, args.n, args.m, &args, problem, args.workspace);
}

}  // namespace r1::cpu
