#include "kernels/grouped_gemm_bf16_wgrad.hpp"

#include "kernels/cuda/product.hpp"

namespace r1::cuda {

std::size_t grouped_gemm_bf16_wgrad_workspace_bytes(const GroupedGemmBf16WgradArgs& /*args*/) {
    return 0;
}

void grouped_gemm_bf16_wgrad(const GroupedGemmBf16WgradArgs& args, const Launch& launch) {
    Product p;
    p.m = args.m;
    p.n = args.n;
    p.a.matrix = args.grad;
    p.a.transposed = !args.transposed;
    p.b.matrix = args.x;
    p.b.transposed = !args.transposed;
    p.y = {args.y, DType::f32, args.n};
    p.y_group_stride = args.m * args.n;
    p.accumulate = true;
    p.groups = args.experts;
    p.grouping = ProductGroups::depth;
    p.offsets = args.offsets;
    product(p, launch);
}

}  // namespace r1::cuda
