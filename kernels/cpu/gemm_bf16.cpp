#include "kernels/gemm_bf16.hpp"

#include "kernels/cpu/gemm_tile.hpp"
#include "model/base/check.hpp"

namespace r1::cpu {

std::size_t gemm_bf16_workspace_bytes(const GemmBf16Args& args) {
    return gemm_workspace_bytes(args.n);
}

void gemm_bf16(const GemmBf16Args& args) {
    R1_CHECK(!args.accumulate || args.y.dtype == DType::f32);
    const auto problem = [](const void* from, std::int64_t /*index*/) {
        const auto& a = *static_cast<const GemmBf16Args*>(from);
        return GemmProblem{.m = a.m,
                           .n = a.n,
                           .k = a.k,
                           .k_end = a.k,
                           .x = a.x,
                           .w = a.w,
                           .y = a.y,
                           .w_transposed = a.w_transposed,
                           .accumulate = a.accumulate};
    };
    gemm_tiles(1, args.n, args.m, &args, problem, args.workspace);
}

}  // namespace r1::cpu
