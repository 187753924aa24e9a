#include "runtime/cuda_stream.hpp"

#include <atomic>
#include <memory>

#include "kernels/cuda/blas.hpp"
#include "kernels/cuda/check.hpp"

namespace r1::cuda {

namespace {

std::atomic<int> device_of_process{0};

thread_local StreamSlot* given = nullptr;
thread_local std::unique_ptr<StreamSlot> own;

}  // namespace

StreamSlot::StreamSlot(int device, bool is_urgent) : is_urgent_(is_urgent) {
    check(cudaSetDevice(device), "cudaSetDevice");
    int least = 0;
    int greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
    check(
        cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, is_urgent ? greatest : least),
        "cudaStreamCreateWithPriority");
}

// The driver may be gone at the end of the process: what fails here, fails after all work.
StreamSlot::~StreamSlot() {
    cudaStreamSynchronize(stream_);  // work of it uses what goes now
    if (given == this) {
        given = nullptr;
    }
    if (blas_workspace_ != nullptr) {
        cudaFree(blas_workspace_);
    }
    staging_.reset();
    cudaStreamDestroy(stream_);
}

void* StreamSlot::blas_workspace() {
    if (blas_workspace_ == nullptr) {
        check(cudaMalloc(&blas_workspace_, kBlasWorkspaceBytes), "cudaMalloc");
    }
    return blas_workspace_;
}

Staging& StreamSlot::staging() {
    if (staging_ == nullptr) {
        staging_ = std::make_unique<Staging>(stream_);
    }
    return *staging_;
}

void set_device(int device) { device_of_process = device; }
int device() { return device_of_process; }

StreamSlot& thread_stream() {
    if (given != nullptr) {
        return *given;
    }
    if (own == nullptr) {
        own = std::make_unique<StreamSlot>(device(), false);
    }
    return *own;
}

void set_thread_stream(StreamSlot* slot) {
    if (slot != nullptr) {
        check(cudaSetDevice(device()), "cudaSetDevice");
    }
    given = slot;
}

bool has_given_stream() { return given != nullptr; }

}  // namespace r1::cuda
