// Stands in for kernels/cuda/blas.cpp in the emulation: the same products by plain loops, over
// operands and scales in the layouts that kernels/cuda/blas.hpp describes.
#include "kernels/cuda/blas.hpp"

#include "tests/emulation/streams.hpp"

namespace r1::cuda {

namespace {

void multiply(const BlasProduct& p) {
    for (std::int64_t row = 0; row < p.m; ++row) {
        for (std::int64_t column = 0; column < p.n; ++column) {
            float sum = 0;
            for (std::int64_t i = 0; i < p.k; ++i) {
                sum += (p.a_transposed ? load(p.a, i, row) : load(p.a, row, i)) *
                       (p.b_transposed ? load(p.b, i, column) : load(p.b, column, i));
            }
            store(p.d, row, column, p.accumulate ? load(p.d, row, column) + sum : sum);
        }
    }
}

void multiply(const BlasFp8Product& p) {
    for (std::int64_t row = 0; row < p.m; ++row) {
        for (std::int64_t column = 0; column < p.n; ++column) {
            float sum = 0;
            for (std::int64_t tile = 0; tile < tiles(p.k); ++tile) {
                float partial = 0;
                for (std::int64_t i = tile * kTile; i < std::min((tile + 1) * kTile, p.k); ++i) {
                    partial += float_from_e4m3(p.a[row * p.k + i]) *
                               float_from_e4m3(p.b[column * p.k + i]);
                }
                sum += partial * p.a_scales[tile * p.m + row] *
                       p.b_scales[p.b_blocks ? column / kTile * blas_block_stride(p.k) + tile
                                             : tile * p.n + column];
            }
            store(p.d, row, column, p.accumulate ? load(p.d, row, column) + sum : sum);
        }
    }
}

}  // namespace

cublasLtContext* blas_create() {
    static char handle = 0;  // products only ask whether there is one
    return reinterpret_cast<cublasLtContext*>(&handle);
}

void blas_destroy(cublasLtContext* /*blas*/) {}

bool blas_product(const BlasProduct& p, const Launch& launch) {
    if (launch.blas == nullptr || p.a.dtype != p.b.dtype || p.m * p.n * p.k == 0) {
        return false;
    }
    emulation::enqueue(launch.stream, [p] { multiply(p); });
    return true;
}

bool blas_fp8_product(const BlasFp8Product& p, const Launch& launch) {
    if (!blas_takes_fp8(p.m, p.n, p.k, launch)) {
        return false;
    }
    emulation::enqueue(launch.stream, [p] { multiply(p); });
    return true;
}

}  // namespace r1::cuda
