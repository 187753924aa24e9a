// The tests of the CUDA kernels on a GPU. The program exits with 77 where there is none.
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/hopper/use.hpp"
#include "tests/cuda/device.hpp"

namespace r1::test {

using cuda::check;

namespace {

int attribute(cudaDeviceAttr which) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, 0), "cudaDeviceGetAttribute");
    return value;
}

struct Device {
    cuda::Launch launch;

    Device() {
        int count = 0;
        if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
            std::puts("no CUDA device");
            std::_Exit(77);  // before any test: nothing to clean up
        }
        launch.sms = attribute(cudaDevAttrMultiProcessorCount);
        launch.is_hopper =
            cuda::use_hopper_kernels(10 * attribute(cudaDevAttrComputeCapabilityMajor) +
                                     attribute(cudaDevAttrComputeCapabilityMinor));
        launch.blas = cuda::blas_create();
        launch.blas_workspace_bytes = cuda::kBlasWorkspaceBytes;
        launch.blas_workspace = device_allocate(launch.blas_workspace_bytes);
    }
};

const Device device;  // NOLINT(cert-err58-cpp): without one there is no test

}  // namespace

cuda::Launch device_launch(bool at_best) {
    cuda::Launch launch = device.launch;
    launch.blas = at_best ? launch.blas : nullptr;
    launch.is_hopper = at_best && launch.is_hopper;
    return launch;
}

void choose_order(int /*order*/) {}

void* device_allocate(std::size_t bytes) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), "cudaMalloc");
    return memory;
}

void device_free(void* memory) { cudaFree(memory); }

void device_upload(void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
}

void device_download(void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
}

}  // namespace r1::test
