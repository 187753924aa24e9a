// Matrix products by cuBLASLt: every algorithm that its heuristics propose.
//
// Row-major D[m, n] = A[m, k] B[n, k]^T. FP8: E4M3 with FP32 scales, by preference those of
// DeepSeek-V3 (arXiv 2412.19437, sec. 3.3.2), 1x128 tiles of activations and 128x128 blocks of
// weights; where the library has no algorithm for them, one scale for a whole tensor. All scales
// are 1, so their layout does not matter, and time does not depend on their values.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/cuda_calibration/pools.hpp"
#include "runtime/cuda_calibration/timer.hpp"

#if CUBLAS_VERSION < 120900
#error "cuBLAS 12.9 is the first with FP8 block scales for Hopper"
#endif

namespace r1::cuda {

struct GemmShape {
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    bool is_fp8 = false;
    bool is_wgrad = false;  // D is FP32 and is added to; else D is BF16 and is overwritten
};

struct GemmOperands {
    const void* a = nullptr;
    const void* b = nullptr;
    void* d = nullptr;
};

enum class Fp8Scales : std::uint8_t {
    tiles_and_blocks,  // A by 1x128 tiles, B by 128x128 blocks
    tiles,             // both by 1x128 tiles
    tensor,            // one scale each
};

namespace detail {

struct Destroy {
    void operator()(cublasLtMatmulDescOpaque_t* each) const { cublasLtMatmulDescDestroy(each); }
    void operator()(cublasLtMatrixLayoutOpaque_t* each) const { cublasLtMatrixLayoutDestroy(each); }
};

}  // namespace detail

// One shape with one kind of scales: what cuBLASLt wants to know, and algorithms for it.
class LtGemm {
public:
    // `sms`: how many are free. Without algorithms if the library has none for this.
    LtGemm(const Libraries& libraries, const Pools& pools, const GemmShape& shape, Fp8Scales scales,
           int sms, int algorithms_max);

    [[nodiscard]] std::size_t algorithms() const { return found_.size(); }
    [[nodiscard]] std::string describe(std::size_t algorithm) const;
    void run(std::size_t algorithm, const GemmOperands& operands, const DeviceMemory& workspace,
             cudaStream_t stream) const;

private:
    using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t, detail::Destroy>;
    using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, detail::Destroy>;

    static Layout layout(cudaDataType type, std::int64_t rows, std::int64_t columns);
    void set_scales(const Pools& pools);
    void find_algorithms(int algorithms_max);

    cublasLtHandle_t lt_;
    GemmShape shape_;
    Fp8Scales scales_;
    Description description_;
    Layout weights_;
    Layout activations_;
    Layout result_;
    std::vector<cublasLtMatmulHeuristicResult_t> found_;
};

// What a shape can be computed with, the preferred first.
std::vector<Fp8Scales> scales_by_preference(const GemmShape& shape);

// The pools' matrices of that type, from their beginnings.
GemmOperands operands_of(const Pools& pools, const GemmShape& shape);

// For each kind of scales one operation for each algorithm.
Alternatives gemm_operations(const Libraries& libraries, const Pools& pools, const GemmShape& shape,
                             int sms);

}  // namespace r1::cuda
