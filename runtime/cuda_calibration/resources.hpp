// CUDA and cuBLAS errors as exceptions; memory, streams and events that free themselves.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <utility>

#include "kernels/cuda/check.hpp"

namespace r1::cuda {

inline void check(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        throw CudaError(std::string(what) + ": " + cublasGetStatusString(status));
    }
}

// Never on the default stream: that one waits for the others.
class Stream {
public:
    // Lower numbers are more urgent; 0 is the least urgent.
    explicit Stream(int priority = 0) {
        check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority),
              "cudaStreamCreateWithPriority");
    }
    ~Stream() { cudaStreamDestroy(stream_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    [[nodiscard]] cudaStream_t get() const { return stream_; }
    void wait() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

private:
    cudaStream_t stream_ = nullptr;
};

class Event {
public:
    explicit Event(unsigned flags = cudaEventDefault) {
        check(cudaEventCreateWithFlags(&event_, flags), "cudaEventCreateWithFlags");
    }
    ~Event() { cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    [[nodiscard]] cudaEvent_t get() const { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

enum class MemoryKind { device, pinned };  // pinned: host memory that the device can reach

// Allocating and freeing wait for the whole device: never while SMs are held.
template <MemoryKind kind>
class Memory {
public:
    Memory() = default;
    explicit Memory(std::size_t bytes) : bytes_(bytes) {
        if (bytes > 0 && kind == MemoryKind::device) {
            check(cudaMalloc(&data_, bytes), "cudaMalloc");
        } else if (bytes > 0) {
            check(cudaHostAlloc(&data_, bytes, cudaHostAllocMapped), "cudaHostAlloc");
        }
    }
    ~Memory() {
        if (data_ != nullptr) {
            kind == MemoryKind::device ? cudaFree(data_) : cudaFreeHost(data_);
        }
    }
    Memory(Memory&& other) noexcept { swap(other); }
    Memory& operator=(Memory&& other) noexcept {
        swap(other);
        return *this;
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    template <class T = void>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(data_);
    }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
    void swap(Memory& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }

    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};
using DeviceMemory = Memory<MemoryKind::device>;
using PinnedMemory = Memory<MemoryKind::pinned>;

}  // namespace r1::cuda
