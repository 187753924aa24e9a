#include "kernels/grouped_gemm_fp8.hpp"

#include "kernels/cuda/fp8_operands.hpp"

namespace r1::cuda {

std::size_t grouped_gemm_fp8_workspace_bytes(const GroupedGemmFp8Args& /*args*/) { return 0; }

void grouped_gemm_fp8(const GroupedGemmFp8Args& args, const Launch& launch) {
    Product p;
    p.n = args.n;
    p.k = args.k;
    p.a = fp8_tiles(args.x, args.x_scales, args.k);
    p.b = fp8_blocks(args.w, args.w_scales, args.n, args.k, args.w_transposed);
    p.y = args.y;
    p.groups = args.experts;
    p.grouping = ProductGroups::rows;
    p.offsets = args.offsets;
    product(p, launch);
}

}  // namespace r1::cuda
