#include "runtime/cuda_calibration/gemm.hpp"

#include <utility>

namespace r1::cuda {

namespace {

constexpr int kAlgorithmsMax = 24;

const char* scales_text(const GemmShape& shape, Fp8Scales scales) {
    if (!shape.is_fp8) {
        return "BF16";
    }
    switch (scales) {
        case Fp8Scales::tiles_and_blocks: return "E4M3, 1x128 and 128x128 scales";
        case Fp8Scales::tiles: return "E4M3, 1x128 scales on both sides";
        case Fp8Scales::tensor: break;
    }
    return "E4M3, one scale a tensor";
}

template <class Description, class T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, T value) {
    check(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value),
          "cublasLtMatmulDescSetAttribute");
}

template <class T>
std::string setting(const cublasLtMatmulAlgo_t& algorithm,
                    cublasLtMatmulAlgoConfigAttributes_t attribute, const char* label) {
    T value = 0;
    std::size_t written = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof value, &written);
    return status == CUBLAS_STATUS_SUCCESS ? std::string(label) + std::to_string(value) : "";
}

}  // namespace

// Column-major, as cuBLASLt thinks: our row-major matrices are its transposes.
LtGemm::Layout LtGemm::layout(cudaDataType type, std::int64_t rows, std::int64_t columns) {
    cublasLtMatrixLayout_t made = nullptr;
    check(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows),
                                     static_cast<std::uint64_t>(columns), rows),
          "cublasLtMatrixLayoutCreate");
    return Layout(made);
}

LtGemm::LtGemm(const Libraries& libraries, const Pools& pools, const GemmShape& shape,
               Fp8Scales scales, int sms, int algorithms_max)
    : lt_(libraries.lt()), shape_(shape), scales_(scales) {
    cublasLtMatmulDesc_t description = nullptr;
    check(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    description_.reset(description);
    // D^T[n, m] = (B^T[k, n])^T A^T[k, m]: its first operand is our B. FP8 on Hopper knows only
    // this orientation, both operands with k as their inner dimension.
    set(description_, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(description_, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    set(description_, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, static_cast<std::int32_t>(sms));
    if (shape.is_fp8) {
        set_scales(pools);
    }
    const cudaDataType operand = shape.is_fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    weights_ = layout(operand, shape.k, shape.n);
    activations_ = layout(operand, shape.k, shape.m);
    result_ = layout(shape.is_wgrad ? CUDA_R_32F : CUDA_R_16BF, shape.n, shape.m);
    find_algorithms(algorithms_max);
}

void LtGemm::set_scales(const Pools& pools) {
    const void* ones = pools.scales.as();
    set(description_, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, ones);
    set(description_, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, ones);
    // Partial sums go to FP32 registers now and then, as DeepSeek-V3 does; with block scales they
    // do anyway.
    set(description_, CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{0});
    if (scales_ == Fp8Scales::tensor) {
        return;
    }
    const std::int32_t tiles = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
    const std::int32_t blocks = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    set(description_, CUBLASLT_MATMUL_DESC_A_SCALE_MODE,
        scales_ == Fp8Scales::tiles ? tiles : blocks);
    set(description_, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, tiles);
}

void LtGemm::find_algorithms(int algorithms_max) {
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    const std::uint64_t workspace = kWorkspaceBytes;
    cublasStatus_t status = cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    found_.resize(static_cast<std::size_t>(algorithms_max));
    int count = 0;
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = cublasLtMatmulAlgoGetHeuristic(lt_, description_.get(), weights_.get(),
                                                activations_.get(), result_.get(), result_.get(),
                                                preference, algorithms_max, found_.data(), &count);
    }
    cublasLtMatmulPreferenceDestroy(preference);
    // "Not supported" and "invalid value" both mean that this library has nothing for these types.
    found_.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(count) : 0);
    std::erase_if(found_, [](const cublasLtMatmulHeuristicResult_t& each) {
        return each.state != CUBLAS_STATUS_SUCCESS || each.workspaceSize > kWorkspaceBytes;
    });
}

std::string LtGemm::describe(std::size_t algorithm) const {
    const cublasLtMatmulAlgo_t& algo = found_[algorithm].algo;
    return std::string(scales_text(shape_, scales_)) + ", cuBLASLt algorithm" +
           setting<std::int32_t>(algo, CUBLASLT_ALGO_CONFIG_ID, " ") +
           setting<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_TILE_ID, " tile ") +
           setting<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_STAGES_ID, " stages ") +
           setting<std::uint16_t>(algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, " cluster ") +
           setting<std::int32_t>(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, " split-k ") +
           setting<std::uint32_t>(algo, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, " option ");
}

void LtGemm::run(std::size_t algorithm, const GemmOperands& operands, const DeviceMemory& workspace,
                 cudaStream_t stream) const {
    const float alpha = 1;
    const float beta = shape_.is_wgrad ? 1 : 0;
    check(cublasLtMatmul(lt_, description_.get(), &alpha, operands.b, weights_.get(), operands.a,
                         activations_.get(), &beta, operands.d, result_.get(), operands.d,
                         result_.get(), &found_[algorithm].algo, workspace.as(), workspace.bytes(),
                         stream),
          "cublasLtMatmul");
}

std::vector<Fp8Scales> scales_by_preference(const GemmShape& shape) {
    if (!shape.is_fp8) {
        return {Fp8Scales::tensor};
    }
    // Both operands of a weight gradient are activations.
    return {shape.is_wgrad ? Fp8Scales::tiles : Fp8Scales::tiles_and_blocks, Fp8Scales::tensor};
}

GemmOperands operands_of(const Pools& pools, const GemmShape& shape) {
    if (shape.is_fp8) {
        return {pools.fp8_a.as(), pools.fp8_b.as(), pools.result.as()};
    }
    return {pools.bf16_a.as(), pools.bf16_b.as(), pools.result.as()};
}

Alternatives gemm_operations(const Libraries& libraries, const Pools& pools, const GemmShape& shape,
                             int sms) {
    Alternatives alternatives;
    const GemmOperands operands = operands_of(pools, shape);
    for (const Fp8Scales scales : scales_by_preference(shape)) {
        const auto gemm =
            std::make_shared<const LtGemm>(libraries, pools, shape, scales, sms, kAlgorithmsMax);
        std::vector<Operation>& operations = alternatives.emplace_back();
        for (std::size_t i = 0; i < gemm->algorithms(); ++i) {
            operations.push_back({gemm->describe(i), 1, [gemm, i, operands, &pools](auto stream) {
                                      gemm->run(i, operands, pools.workspaces[0], stream);
                                  }});
        }
    }
    return alternatives;
}

}  // namespace r1::cuda
