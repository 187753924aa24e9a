#include "kernels/grouped_gemm_fp8.hpp"

#include "kernels/cuda/fp8_operands.hpp"
#include "kernels/cuda/hopper/product.hpp"
#include "kernels/workspace.hpp"

namespace r1::cuda {

// Hopper's tensor cores take FP8 along k only: a copy of transposed weights.
std::size_t grouped_gemm_fp8_workspace_bytes(const GroupedGemmFp8Args& args) {
    return args.w_transposed ? workspace_bytes_of<std::uint8_t>(args.experts * args.n * args.k) : 0;
}

void grouped_gemm_fp8(const GroupedGemmFp8Args& args, const Launch& launch) {
    Product p;
    p.m = args.rows_max;
    p.n = args.n;
    p.k = args.k;
    p.a = fp8_tiles(args.x, args.x_scales, args.k);
    p.b = fp8_blocks(args.w, args.w_scales, args.n, args.k, args.w_transposed);
    if (args.w_transposed && hopper_takes_fp8(args.k, launch)) {
        Carver carver(args.workspace);
        auto* w = carver.take<std::uint8_t>(args.experts * args.n * args.k);
        transpose_codes(args.w, args.experts, args.k, args.n, w, launch);
        p.b.matrix = {w, DType::e4m3, args.k};
        p.b.transposed = false;
    }
    p.y = args.y;
    p.groups = args.experts;
    p.grouping = ProductGroups::rows;
    p.offsets = args.offsets;
    product(p, launch);
}

}  // namespace r1::cuda
