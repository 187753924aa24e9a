// As much of cuBLAS as headers of runtime/cuda_calibration name. Nothing of it is called in tests:
// products run on the kernels of kernels/cuda/product.hpp, or on tests/emulation/blas.cpp.
#pragma once

#include <cuda_runtime_api.h>

#define CUBLAS_VERSION 130000

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0 };
inline const char* cublasGetStatusString(cublasStatus_t) { return "no error"; }

struct cublasLtContext;
using cublasLtHandle_t = cublasLtContext*;
enum cudaDataType { CUDA_R_32F = 0 };
struct cublasLtMatmulDescOpaque_t {};
struct cublasLtMatrixLayoutOpaque_t {};
struct cublasLtMatmulHeuristicResult_t {};
inline void cublasLtMatmulDescDestroy(cublasLtMatmulDescOpaque_t*) {}
inline void cublasLtMatrixLayoutDestroy(cublasLtMatrixLayoutOpaque_t*) {}
