#include "kernels/grouped_gemm_fp8.hpp"

#include "kernels/gemm_fp8.hpp"

namespace r1::reference {

void grouped_gemm_fp8(const GroupedGemmFp8Args& args) {
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        const std::int64_t first = args.offsets[expert];
        GemmFp8Args one;
        one.m = args.offsets[expert + 1] - first;
        one.n = args.n;
        one.k = args.k;
        one.x = args.x + first * args.k;
        one.x_scales = args.x_scales + first * tiles(args.k);
        one.w = args.w + expert * args.n * args.k;
        one.w_scales = args.w_scales + expert * tiles(args.n) * tiles(args.k);
        one.y = rows_from(args.y, first);
        one.w_transposed = args.w_transposed;
        gemm_fp8(one);
    }
}

}  // namespace r1::reference
