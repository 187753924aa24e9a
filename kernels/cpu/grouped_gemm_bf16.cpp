#include "kernels/grouped_gemm_bf16.hpp"

#include "kernels/cpu/gemm_tile.hpp"

namespace r1::cpu {

namespace {

const char* row_of(const ConstMatrix& matrix, std::int64_t row) {
    const std::int64_t bytes = matrix.dtype == DType::bf16 ? 2 : 4;
    return static_cast<const char*>(matrix.data) + row * matrix.stride * bytes;
}

GemmProblem problem_of(const void* from, std::int64_t expert) {
    const auto& a = *static_cast<const GroupedGemmBf16Args*>(from);
    const std::int64_t first = a.offsets[expert];
    GemmProblem problem{a.offsets[expert + 1] - first, a.n, a.k, a.x, a.w, nullptr, nullptr, a.y};
    problem.x.data = row_of(a.x, first);
    problem.w.data = row_of(a.w, expert * a.n);
    problem.y.data = const_cast<char*>(row_of(a.y, first));
    return problem;
}

}  // namespace

std::size_t grouped_gemm_bf16_workspace_bytes(const GroupedGemmBf16Args& args) {
    return gemm_workspace_bytes(args.n);
}

void grouped_gemm_bf16(const GroupedGemmBf16Args& args) {
    if (args.experts > 0) {
        gemm_tiles(args.experts, args.n, args.offsets[args.experts], &args, problem_of,
                   args.workspace);
    }
}

}  // namespace r1::cpu
