#include "kernels/gemm_bf16_wgrad.hpp"

#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/product.hpp"

namespace r1::cuda {

std::size_t gemm_bf16_wgrad_workspace_bytes(const GemmBf16WgradArgs& /*args*/) { return 0; }

void gemm_bf16_wgrad(const GemmBf16WgradArgs& args, const Launch& launch) {
    const Matrix y{args.y, DType::f32, args.n};
    if (blas_product({args.m, args.n, args.k, args.grad, args.x, y, true, true, true}, launch)) {
        return;
    }
    Product p;
    p.m = args.m;
    p.n = args.n;
    p.k = args.k;
    p.a.matrix = args.grad;
    p.a.transposed = true;
    p.b.matrix = args.x;
    p.b.transposed = true;
    p.y = y;
    p.accumulate = true;
    product(p, launch);
}

}  // namespace r1::cuda
