#include "kernels/cuda/blas.hpp"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "kernels/cuda/check.hpp"
#include "model/base/check.hpp"

#if CUBLAS_VERSION < 120900
#error "cuBLAS 12.9 is the first with FP8 block scales for Hopper"
#endif

namespace r1::cuda {

namespace {

void check_blas(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        throw CudaError(std::string(what) + ": " + cublasLtGetStatusString(status));
    }
}

struct Destroy {
    void operator()(cublasLtMatmulDescOpaque_t* each) const { cublasLtMatmulDescDestroy(each); }
    void operator()(cublasLtMatrixLayoutOpaque_t* each) const { cublasLtMatrixLayoutDestroy(each); }
    void operator()(cublasLtMatmulPreferenceOpaque_t* each) const {
        cublasLtMatmulPreferenceDestroy(each);
    }
};
using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy>;

cudaDataType type_of(DType dtype) {
    switch (dtype) {
        case DType::f32: return CUDA_R_32F;
        case DType::bf16: return CUDA_R_16BF;
        case DType::e4m3: return CUDA_R_8F_E4M3;
        default: check_failed(__FILE__, __LINE__, "products take f32, bf16 and e4m3");
    }
}

// Our row-major matrix is the library's transpose of it: column-major, `columns` x `rows`.
Layout layout(const ConstMatrix& matrix, std::int64_t rows, std::int64_t columns) {
    cublasLtMatrixLayout_t made = nullptr;
    check_blas(cublasLtMatrixLayoutCreate(&made, type_of(matrix.dtype),
                                          static_cast<std::uint64_t>(columns),
                                          static_cast<std::uint64_t>(rows), matrix.stride),
               "cublasLtMatrixLayoutCreate");
    return Layout(made);
}

template <class T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, T value) {
    check_blas(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value),
               "cublasLtMatmulDescSetAttribute");
}

template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check_blas(
        cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// The largest power of two, up to 256, that divides the address.
std::uint32_t alignment(const void* data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data) | 256U;
    return static_cast<std::uint32_t>(address & (~address + 1));
}

// d^T[n, m] = b a^T in the library's order, so its first operand is our b.
struct AnyProduct {
    BlasProduct shape;
    const float* a_scales = nullptr;
    const float* b_scales = nullptr;
    bool b_blocks = false;

    using Key = std::array<std::int64_t, 20>;
    [[nodiscard]] Key key(const Launch& launch) const {
        const auto type = [](const ConstMatrix& matrix) {
            return static_cast<std::int64_t>(matrix.dtype);
        };
        return {reinterpret_cast<std::intptr_t>(launch.blas),
                launch.sms,
                static_cast<std::int64_t>(launch.blas_workspace_bytes),
                shape.m,
                shape.n,
                shape.k,
                type(shape.a),
                type(shape.b),
                type(shape.d),
                shape.a.stride,
                shape.b.stride,
                shape.d.stride,
                alignment(shape.a.data),
                alignment(shape.b.data),
                alignment(shape.d.data),
                shape.a_transposed ? 1 : 0,
                shape.b_transposed ? 1 : 0,
                shape.accumulate ? 1 : 0,
                b_blocks ? 1 : 0,
                0};
    }
};

// What the library wants to know, made for one call.
struct Matmul {
    Description description;
    Layout a, b, d;

    Matmul(const AnyProduct& product, const Launch& launch) {
        const BlasProduct& s = product.shape;
        cublasLtMatmulDesc_t made = nullptr;
        check_blas(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                   "cublasLtMatmulDescCreate");
        description.reset(made);
        set(description, CUBLASLT_MATMUL_DESC_TRANSA, s.b_transposed ? CUBLAS_OP_N : CUBLAS_OP_T);
        set(description, CUBLASLT_MATMUL_DESC_TRANSB, s.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
        set(description, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET,
            static_cast<std::int32_t>(launch.sms));
        if (product.a_scales != nullptr) {
            set(description, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, product.b_scales);
            set(description, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, product.a_scales);
            set(description, CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{0});
            const std::int32_t tiles = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
            const std::int32_t blocks = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
            set(description, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, product.b_blocks ? blocks : tiles);
            set(description, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, tiles);
        }
        a = s.a_transposed ? layout(s.a, s.k, s.m) : layout(s.a, s.m, s.k);
        b = s.b_transposed ? layout(s.b, s.k, s.n) : layout(s.b, s.n, s.k);
        d = layout(s.d, s.m, s.n);
    }

    [[nodiscard]] std::optional<cublasLtMatmulAlgo_t> best(const AnyProduct& product,
                                                           const Launch& launch) const {
        cublasLtMatmulPreference_t made = nullptr;
        check_blas(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
        const Preference preference(made);
        set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            std::uint64_t{launch.blas_workspace_bytes});
        set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            alignment(product.shape.b.data));
        set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            alignment(product.shape.a.data));
        set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            alignment(product.shape.d.data));
        set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
            alignment(product.shape.d.data));
        cublasLtMatmulHeuristicResult_t result{};
        int count = 0;
        // "Not supported" and "invalid value" both mean that the library has nothing for this.
        const cublasStatus_t status =
            cublasLtMatmulAlgoGetHeuristic(launch.blas, description.get(), b.get(), a.get(),
                                           d.get(), d.get(), preference.get(), 1, &result, &count);
        if (status != CUBLAS_STATUS_SUCCESS || count == 0 ||
            result.state != CUBLAS_STATUS_SUCCESS) {
            return std::nullopt;
        }
        return result.algo;
    }
};

bool run(const AnyProduct& product, const Launch& launch) {
    if (launch.blas == nullptr) {
        return false;
    }
    static std::mutex mutex;
    static std::map<AnyProduct::Key, std::optional<cublasLtMatmulAlgo_t>> chosen;
    const Matmul matmul(product, launch);
    std::optional<cublasLtMatmulAlgo_t> algorithm;
    {
        const std::lock_guard lock(mutex);
        const AnyProduct::Key key = product.key(launch);
        auto found = chosen.find(key);
        if (found == chosen.end()) {
            found = chosen.emplace(key, matmul.best(product, launch)).first;
        }
        algorithm = found->second;
    }
    if (!algorithm) {
        return false;
    }
    const BlasProduct& s = product.shape;
    const float alpha = 1;
    const float beta = s.accumulate ? 1 : 0;
    check_blas(cublasLtMatmul(launch.blas, matmul.description.get(), &alpha, s.b.data,
                              matmul.b.get(), s.a.data, matmul.a.get(), &beta, s.d.data,
                              matmul.d.get(), s.d.data, matmul.d.get(), &*algorithm,
                              launch.blas_workspace, launch.blas_workspace_bytes, launch.stream),
               "cublasLtMatmul");
    return true;
}

}  // namespace

cublasLtContext* blas_create() {
    cublasLtHandle_t handle = nullptr;
    check_blas(cublasLtCreate(&handle), "cublasLtCreate");
    return handle;
}

void blas_destroy(cublasLtContext* blas) { cublasLtDestroy(blas); }

bool blas_product(const BlasProduct& product, const Launch& launch) {
    // The library knows no products of different types, and none without elements.
    if (product.a.dtype != product.b.dtype || std::min({product.m, product.n, product.k}) == 0) {
        return false;
    }
    return run({product, nullptr, nullptr, false}, launch);
}

bool blas_fp8_product(const BlasFp8Product& product, const Launch& launch) {
    if (!blas_takes_fp8(product.m, product.n, product.k, launch)) {
        return false;
    }
    BlasProduct shape;
    shape.m = product.m;
    shape.n = product.n;
    shape.k = product.k;
    shape.a = {product.a, DType::e4m3, product.k};
    shape.b = {product.b, DType::e4m3, product.k};
    shape.d = product.d;
    shape.accumulate = product.accumulate;
    return run({shape, product.a_scales, product.b_scales, product.b_blocks}, launch);
}

}  // namespace r1::cuda
