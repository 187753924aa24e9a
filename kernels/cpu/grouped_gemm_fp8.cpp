#include "kernels/grouped_gemm_fp8.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

namespace {

GemmProblem fp8_problem(const void* from, std::int64_t expert) {
    const auto& a = *static_cast<const GroupedGemmFp8Args*>(from);
    const std::int64_t first = a.offsets[expert];
    return {.m = a.offsets[expert + 1] - first,
            .n = a.n,
            .k = a.k,
            .k_end = a.k,
            .x = {a.x + first * a.k, DType::e4m3, a.k},
            .w = {a.w + expert * a.n * a.k, DType::e4m3, a.w_transposed ? a.n : a.k},
            .x_scales = a.x_scales + first * tiles(a.k),
            .w_scales = a.w_scales + expert * tiles(a.n) * tiles(a.k),
            .y = rows_from(a.y, first),
            .w_transposed = a.w_transposed};
}

}  // namespace

std::size_t grouped_gemm_fp8_workspace_bytes(const GroupedGemmFp8Args& args) {
    return gemm_workspace_bytes(args.n);
}

void grouped_gemm_fp8(const GroupedGemmFp8Args& args) {
    if (args.experts > 0) {
        gemm_tiles(args.experts, args.n, args.offsets[args.experts], &args, fp8_problem,
                   args.workspace);
    }
}

}  // namespace r1::cpu
