#include "kernels/gemm_bf16.hpp"

#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/product.hpp"

namespace r1::cuda {

std::size_t gemm_bf16_workspace_bytes(const GemmBf16Args& /*args*/) { return 0; }

void gemm_bf16(const GemmBf16Args& args, const Launch& launch) {
    R1_CHECK(!args.accumulate || args.y.dtype == DType::f32);
    if (blas_product({args.m, args.n, args.k, args.x, args.w, args.y, false, args.w_transposed,
                      args.accumulate},
                     launch)) {
        return;
    }
    Product p;
    p.m = args.m;
    p.n = args.n;
    p.k = args.k;
    p.a.matrix = args.x;
    p.b.matrix = args.w;
    p.b.transposed = args.w_transposed;
    p.y = args.y;
    p.accumulate = args.accumulate;
    product(p, launch);
}

}  // namespace r1::cuda
