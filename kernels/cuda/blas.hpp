// Matrix products by cuBLASLt, row-major: d = a b^T, or d += a b^T. They return false, with nothing
// enqueued, where the library has nothing for the types, the alignment or the device: the caller
// then takes a kernel of its own. Algorithms are chosen by the library's heuristics, once for each
// shape in the life of the program.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1::cuda {

// For Launch::blas. The workspace is what NVIDIA's manual advises for Hopper.
cublasLtContext* blas_create();
void blas_destroy(cublasLtContext* blas);
inline constexpr std::size_t kBlasWorkspaceBytes = 32 << 20;

// Operands of one type, BF16 or F32; sums are float32 without TF32.
struct BlasProduct {
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    ConstMatrix a;  // [m, k], or [k, m] if a_transposed
    ConstMatrix b;  // [n, k], or [k, n] if b_transposed
    Matrix d;       // [m, n]
    bool a_transposed = false;
    bool b_transposed = false;
    bool accumulate = false;  // d is f32
};
bool blas_product(const BlasProduct& product, const Launch& launch);

// E4M3 operands with float32 scales, in the layouts that cuBLAS asks for (its manual, "128x128 and
// 1x128 block scaling"): scales of 1x128 tiles are [tiles(k), rows], those of 128x128 blocks are
// [tiles(rows), blas_block_stride(k)], the rest of a row unused. Sums leave the tensor cores every
// 128 elements of k.
struct BlasFp8Product {
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    const std::uint8_t* a = nullptr;  // [m, k]
    const float* a_scales = nullptr;  // of 1x128 tiles
    const std::uint8_t* b = nullptr;  // [n, k]
    const float* b_scales = nullptr;  // of 1x128 tiles, or of 128x128 blocks if b_blocks
    Matrix d;                         // [m, n]
    bool b_blocks = false;
    bool accumulate = false;  // d is f32
};
// Whether the library's rules on sizes allow such a product at all.
inline bool blas_takes_fp8(std::int64_t m, std::int64_t n, std::int64_t k, const Launch& launch) {
    constexpr std::int64_t kAlignment = 16;  // of rows; manual, "FP8 data types usage"
    return launch.blas != nullptr && m > 0 && n > 0 && k > 0 && m % 4 == 0 && n % kAlignment == 0 &&
           k % kAlignment == 0;
}
bool blas_fp8_product(const BlasFp8Product& product, const Launch& launch);

inline constexpr std::int64_t blas_block_stride(std::int64_t k) { return (tiles(k) + 3) / 4 * 4; }

}  // namespace r1::cuda
