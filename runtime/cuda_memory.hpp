// Memory of the process's GPU: from the driver's stream-ordered pool, which keeps what is released
// for later steps. Copies from the host pass through pinned memory of the stream, and the host does
// not wait for them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

#include "runtime/memory.hpp"

namespace r1::cuda {

class CudaMemory final : public Memory {
public:
    CudaMemory();

    [[nodiscard]] std::byte* allocate(std::size_t bytes) override;
    void release(std::byte* memory) noexcept override;
    [[nodiscard]] bool is_host() const override { return false; }
    void copy(void* to, const void* from, std::size_t bytes) override;
    void zero(void* to, std::size_t bytes) override;
    void finish() override;
    [[nodiscard]] std::shared_ptr<const DeviceEvent> record() override;

    // As DeviceKind has them.
    void reserve(std::size_t bytes, const std::string& what);
    [[nodiscard]] std::size_t peak_bytes() const;

private:
    cudaMemPool_t pool_ = nullptr;
};

}  // namespace r1::cuda
