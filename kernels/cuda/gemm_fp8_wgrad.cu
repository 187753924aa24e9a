#include "kernels/gemm_fp8_wgrad.hpp"

#include "kernels/cuda/fp8_operands.hpp"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

bool by_blas(const GemmFp8WgradArgs& args, const Launch& launch) {
    if (!blas_takes_fp8(args.m, args.n, args.k, launch)) {
        return false;
    }
    Carver carver(args.workspace);
    auto* grad_scales = carver.take<float>(args.m * tiles(args.k));
    auto* x_scales = carver.take<float>(args.n * tiles(args.k));
    transpose_scales(args.grad_scales, args.m, tiles(args.k), grad_scales, args.m, launch);
    transpose_scales(args.x_scales, args.n, tiles(args.k), x_scales, args.n, launch);
    BlasFp8Product p;
    p.m = args.m;
    p.n = args.n;
    p.k = args.k;
    p.a = args.grad;
    p.a_scales = grad_scales;
    p.b = args.x;
    p.b_scales = x_scales;
    p.d = {args.y, DType::f32, args.n};
    p.accumulate = true;
    return blas_fp8_product(p, launch);
}

}  // namespace

std::size_t gemm_fp8_wgrad_workspace_bytes(const GemmFp8WgradArgs& args) {
    return workspace_bytes_of<float>(args.m * tiles(args.k)) +
           workspace_bytes_of<float>(args.n * tiles(args.k));
}

void gemm_fp8_wgrad(const GemmFp8WgradArgs& args, const Launch& launch) {
    if (by_blas(args, launch)) {
        return;
    }
    Product p;
    p.m = args.m;
    p.n = args.n;
    p.k = args.k;
    p.a = fp8_tiles(args.grad, args.grad_scales, args.k);
    p.b = fp8_tiles(args.x, args.x_scales, args.k);
    p.y = {args.y, DType::f32, args.n};
    p.accumulate = true;
    product(p, launch);
}

}  // namespace r1::cuda
