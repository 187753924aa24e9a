#include "kernels/gemm_bf16.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

std::size_t gemm_bf16_workspace_bytes(const GemmBf16Args& args) {
    return gemm_workspace_bytes(args.n);
}

void gemm_bf16(const GemmBf16Args& args) {
    const auto problem = [](const void* from, std::int64_t /*index*/) {
        const auto& a = *static_cast<const GemmBf16Args*>(from);
        return GemmProblem{a.m, a.n, a.k, a.x, a.w, nullptr, nullptr, a.y};
    };
    gemm_tiles(1, args.n, args.m, &args, problem, args.workspace);
}

}  // namespace r1::cpu
