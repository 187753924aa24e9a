// Which CUDA stream the calling thread works on. Every stream is of the process's one device.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "runtime/cuda_staging.hpp"

namespace r1::cuda {

// With the workspace that cuBLAS wants for each stream, and the pinned memory that copies want.
class StreamSlot {
public:
    // `is_urgent`: its kernels go first where the device has to choose. Makes the device the
    // calling thread's.
    StreamSlot(int device, bool is_urgent);
    ~StreamSlot();
    StreamSlot(const StreamSlot&) = delete;
    StreamSlot& operator=(const StreamSlot&) = delete;

    [[nodiscard]] cudaStream_t stream() const { return stream_; }
    [[nodiscard]] bool is_urgent() const { return is_urgent_; }
    // kBlasWorkspaceBytes, allocated when they are first asked for.
    void* blas_workspace();
    // Likewise. Allocating either may wait for the device.
    Staging& staging();

private:
    cudaStream_t stream_ = nullptr;
    bool is_urgent_;
    void* blas_workspace_ = nullptr;
    std::unique_ptr<Staging> staging_;
};

// The process works on this device from now on; 0 by default.
void set_device(int device);
int device();

// The calling thread's: the one that it was given, else one of its own.
StreamSlot& thread_stream();
// It stays with the thread until the next call; nullptr: its own again.
void set_thread_stream(StreamSlot* slot);
bool has_given_stream();

}  // namespace r1::cuda
