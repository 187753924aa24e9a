// cuBLASLt wants the scales of activations transposed, those of weights with a padded stride, and
// both operands with k as their inner dimension: copies in the workspace, which cost a few per cent
// of the product's own traffic for the scales, and for transposed weights one more pass over them.
// A product of few rows, as those of decoding, is over before two more kernels have started: those
// run on our own kernel where it takes them.
#include "kernels/gemm_fp8.hpp"

#include "kernels/cuda/fp8_operands.hpp"
#include "kernels/cuda/hopper/product.hpp"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/workspace.hpp"

namespace r1::cuda {

namespace {

// scales[tiles(n), tiles(k)] with the library's stride.
void pad_scales(const GemmFp8Args& args, float* padded, const Launch& launch) {
    check(cudaMemcpy2DAsync(
              padded, static_cast<std::size_t>(blas_block_stride(args.k)) * sizeof(float),
              args.w_scales, static_cast<std::size_t>(tiles(args.k)) * sizeof(float),
              static_cast<std::size_t>(tiles(args.k)) * sizeof(float),
              static_cast<std::size_t>(tiles(args.n)), cudaMemcpyDeviceToDevice, launch.stream),
          "cudaMemcpy2DAsync");
}

bool by_blas(const GemmFp8Args& args, const Launch& launch) {
    if (!blas_takes_fp8(args.m, args.n, args.k, launch)) {
        return false;
    }
    Carver carver(args.workspace);
    auto* x_scales = carver.take<float>(args.m * tiles(args.k));
    auto* w_scales = carver.take<float>(tiles(args.n) * blas_block_stride(args.k));
    BlasFp8Product p;
    p.m = args.m;
    p.n = args.n;
    p.k = args.k;
    p.a = args.x;
    p.a_scales = x_scales;
    p.b = args.w;
    p.b_scales = w_scales;
    p.b_blocks = true;
    p.d = args.y;
    transpose_scales(args.x_scales, args.m, tiles(args.k), x_scales, args.m, launch);
    if (args.w_transposed) {
        auto* w = carver.take<std::uint8_t>(args.n * args.k);
        transpose_codes(args.w, 1, args.k, args.n, w, launch);
        transpose_scales(args.w_scales, tiles(args.k), tiles(args.n), w_scales,
                         blas_block_stride(args.k), launch);
        p.b = w;
    } else {
        pad_scales(args, w_scales, launch);
    }
    return blas_fp8_product(p, launch);
}

}  // namespace

std::size_t gemm_fp8_workspace_bytes(const GemmFp8Args& args) {
    return workspace_bytes_of<float>(args.m * tiles(args.k)) +
           workspace_bytes_of<float>(tiles(args.n) * blas_block_stride(args.k)) +
           (args.w_transposed ? workspace_bytes_of<std::uint8_t>(args.n * args.k) : 0);
}

void gemm_fp8(const GemmFp8Args& args, const Launch& launch) {
    constexpr std::int64_t kFewRows = 128;  // one tile of them; not measured
    Product p;
    p.m = args.m;
    p.n = args.n;
    p.k = args.k;
    p.a = fp8_tiles(args.x, args.x_scales, args.k);
    p.b = fp8_blocks(args.w, args.w_scales, args.n, args.k, args.w_transposed);
    p.y = args.y;
    if ((args.m <= kFewRows && hopper_product(p, launch)) || by_blas(args, launch)) {
        return;
    }
    product(p, launch);
}

}  // namespace r1::cuda
