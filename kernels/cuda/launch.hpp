// How the CUDA version of a kernel runs. Every function of namespace cuda enqueues its work on
// `stream` and returns; all pointers of its arguments, workspace included, are device memory. They
// throw CudaError if the device refuses. Plain C++, so that any source may include it.
#pragma once

#include <cstddef>

// Before a function that kernels of all versions share.
#ifdef __CUDACC__
#define R1_HOST_DEVICE __host__ __device__
#else
#define R1_HOST_DEVICE
#endif

struct CUstream_st;
struct cublasLtContext;

namespace r1::cuda {

struct Launch {
    CUstream_st* stream = nullptr;  // a cudaStream_t
    int sms = 1;                    // how many multiprocessors the kernel may use
    bool is_hopper =
        false;  // compute capability 9.0, with code for it (kernels/cuda/hopper/instructions.cuh)
    // A cublasLtHandle_t. Without one products run on the kernels of kernels/cuda/product.hpp.
    cublasLtContext* blas = nullptr;
    void* blas_workspace = nullptr;
    std::size_t blas_workspace_bytes = 0;
};

}  // namespace r1::cuda
