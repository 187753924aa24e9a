#include "runtime/cuda_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <new>

#include <fmt/format.h>

#include "kernels/cuda/check.hpp"
#include "model/base/exit_code.hpp"
#include "runtime/cuda_event.hpp"
#include "runtime/cuda_staging.hpp"
#include "runtime/cuda_stream.hpp"

namespace r1::cuda {

namespace {

bool is_on_device(const void* data) {
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, data), "cudaPointerGetAttributes");
    return attributes.type == cudaMemoryTypeDevice;
}

}  // namespace

CudaMemory::CudaMemory() {
    check(cudaSetDevice(device()), "cudaSetDevice");
    check(cudaDeviceGetDefaultMemPool(&pool_, device()), "cudaDeviceGetDefaultMemPool");
    // Nothing goes back to the system between steps.
    auto threshold = std::numeric_limits<std::uint64_t>::max();
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &threshold),
          "cudaMemPoolSetAttribute");
    // A stream does not wait for what another released: that could hold up an exchange that the
    // other one waits for.
    int waits = 0;
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolReuseAllowInternalDependencies, &waits),
          "cudaMemPoolSetAttribute");
}

std::byte* CudaMemory::allocate(std::size_t bytes) {
    void* memory = nullptr;
    const cudaError_t status =
        cudaMallocAsync(&memory, std::max<std::size_t>(bytes, 1), thread_stream().stream());
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();  // else the next kernel reports it
        throw std::bad_alloc();
    }
    check(status, "cudaMallocAsync");
    return static_cast<std::byte*>(memory);
}

void CudaMemory::release(std::byte* memory) noexcept {
    if (memory == nullptr) {
        return;
    }
    try {
        cudaFreeAsync(memory, thread_stream().stream());
    } catch (const std::exception&) {
        // A thread without a stream gets none: the device has failed, and its memory goes with it.
    }
}

void CudaMemory::copy(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0 || to == from) {
        return;
    }
    // Below it the driver's own path takes less time than a turn of ours.
    constexpr std::size_t kStagedBytesMin = std::size_t{256} << 10U;
    auto* bytes_to = static_cast<std::byte*>(to);
    const auto* bytes_from = static_cast<const std::byte*>(from);
    const bool to_device = is_on_device(to);
    const bool from_device = is_on_device(from);
    if (to_device && !from_device) {
        thread_stream().staging().upload(bytes_to, bytes_from, bytes);
        return;
    }
    if (from_device && !to_device && bytes >= kStagedBytesMin) {
        thread_stream().staging().download(bytes_to, bytes_from, bytes);
        return;
    }
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, thread_stream().stream()),
          "cudaMemcpyAsync");
    if (!to_device) {
        finish();  // where the device writes pageable memory itself, the call does not wait for it
    }
}

void CudaMemory::zero(void* to, std::size_t bytes) {
    if (bytes > 0) {
        check(cudaMemsetAsync(to, 0, bytes, thread_stream().stream()), "cudaMemsetAsync");
    }
}

// The block goes back to the pool, which keeps it.
void CudaMemory::reserve(std::size_t bytes, const std::string& what) {
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    const auto gigabytes = [](std::size_t count) { return static_cast<double>(count) / 1e9; };
    try {
        if (bytes > free) {
            throw std::bad_alloc();
        }
        release(allocate(bytes));
        finish();
    } catch (const std::bad_alloc&) {
        throw InfeasibleError(
            fmt::format("{} need {:.3f} GB, and GPU {} has {:.3f} of its {:.3f} GB free", what,
                        gigabytes(bytes), device(), gigabytes(free), gigabytes(total)));
    }
    std::uint64_t none = 0;
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrUsedMemHigh, &none),
          "cudaMemPoolSetAttribute");
}

std::size_t CudaMemory::peak_bytes() const {
    std::uint64_t most = 0;
    check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemHigh, &most),
          "cudaMemPoolGetAttribute");
    return most;
}

void CudaMemory::finish() {
    check(cudaStreamSynchronize(thread_stream().stream()), "cudaStreamSynchronize");
}

std::shared_ptr<const DeviceEvent> CudaMemory::record() {
    return std::make_shared<Event>(thread_stream().stream());
}

}  // namespace r1::cuda
