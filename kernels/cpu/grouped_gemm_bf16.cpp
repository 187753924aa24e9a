#include "kernels/grouped_gemm_bf16.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

namespace {

GemmProblem bf16_problem(const void* from, std::int64_t expert) {
    const auto& a = *static_cast<const GroupedGemmBf16Args*>(from);
    const std::int64_t first = a.offsets[expert];
    return {.m = a.offsets[expert + 1] - first,
            .n = a.n,
            .k = a.k,
            .k_end = a.k,
            .x = rows_from(a.x, first),
            .w = rows_from(a.w, expert * (a.w_transposed ? a.k : a.n)),
            .y = rows_from(a.y, first),
            .w_transposed = a.w_transposed};
}

}  // namespace

std::size_t grouped_gemm_bf16_workspace_bytes(const GroupedGemmBf16Args& args) {
    return gemm_workspace_bytes(args.n);
}

void grouped_gemm_bf16(const GroupedGemmBf16Args& args) {
    if (args.experts > 0) {
        gemm_tiles(args.experts, args.n, args.offsets[args.experts], &args, bf16_problem,
                   args.workspace);
    }
}

}  // namespace r1::cpu
