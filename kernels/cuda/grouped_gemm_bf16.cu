#include "kernels/grouped_gemm_bf16.hpp"

#include "kernels/cuda/product.hpp"

namespace r1::cuda {

std::size_t grouped_gemm_bf16_workspace_bytes(const GroupedGemmBf16Args& /*args*/) { return 0; }

void grouped_gemm_bf16(const GroupedGemmBf16Args& args, const Launch& launch) {
    Product p;
    p.n = args.n;
    p.k = args.k;
    p.a.matrix = args.x;
    p.b.matrix = args.w;
    p.b.transposed = args.w_transposed;
    p.b.group_stride = (args.w_transposed ? args.k : args.n) * args.w.stride;
    p.y = args.y;
    p.groups = args.experts;
    p.grouping = ProductGroups::rows;
    p.offsets = args.offsets;
    product(p, launch);
}

}  // namespace r1::cuda
