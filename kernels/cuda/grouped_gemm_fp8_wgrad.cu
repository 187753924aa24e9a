#include "kernels/grouped_gemm_fp8_wgrad.hpp"

#include "kernels/cuda/fp8_operands.hpp"
#include "kernels/cuda/hopper/wgrad.hpp"

namespace r1::cuda {

std::size_t grouped_gemm_fp8_wgrad_workspace_bytes(const GroupedGemmFp8WgradArgs& args) {
    return hopper_wgrad_workspace_bytes(args);
}

void grouped_gemm_fp8_wgrad(const GroupedGemmFp8WgradArgs& args, const Launch& launch) {
    if (hopper_wgrad(args, launch)) {
        return;
    }
    Product p;
    p.m = args.m;
    p.n = args.n;
    p.a = fp8_tiles(args.grad, args.grad_scales, 0);
    p.b = fp8_tiles(args.x, args.x_scales, 0);
    p.strides_from_offsets = true;
    p.y = {args.y, DType::f32, args.n};
    p.y_group_stride = args.m * args.n;
    p.accumulate = true;
    p.groups = args.experts;
    p.grouping = ProductGroups::depth;
    p.offsets = args.offsets;
    product(p, launch);
}

}  // namespace r1::cuda
