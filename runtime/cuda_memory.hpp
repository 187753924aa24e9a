// Memory of the process's GPU: from the driver's stream-ordered pool, which keeps what is released
// for later steps; large copies from and to the host pass through pinned memory.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <mutex>
#include <string>

#include "runtime/memory.hpp"

namespace r1::cuda {

class CudaMemory final : public Memory {
public:
    CudaMemory();
    ~CudaMemory() override;
    CudaMemory(const CudaMemory&) = delete;
    CudaMemory& operator=(const CudaMemory&) = delete;

    [[nodiscard]] std::byte* allocate(std::size_t bytes) override;
    void release(std::byte* memory) noexcept override;
    [[nodiscard]] bool is_host() const override { return false; }
    void copy(void* to, const void* from, std::size_t bytes) override;
    void zero(void* to, std::size_t bytes) override;
    void finish() override;

    // As DeviceKind has them.
    void reserve(std::size_t bytes, const std::string& what);
    [[nodiscard]] std::size_t peak_bytes() const;

private:
    // Pinned, used in turns: while one is under way, the host fills or reads the other.
    struct Stage {
        std::byte* data = nullptr;
        cudaEvent_t done = nullptr;
    };
    static constexpr std::size_t kStageBytes = std::size_t{4} << 20U;
    // Below it the driver's own path takes less time than a turn of ours.
    static constexpr std::size_t kStagedBytesMin = std::size_t{256} << 10U;

    void upload(std::byte* to, const std::byte* from, std::size_t bytes);
    void download(std::byte* to, const std::byte* from, std::size_t bytes);

    cudaMemPool_t pool_ = nullptr;
    std::mutex mutex_;  // of the stages
    std::array<Stage, 2> stages_;
};

}  // namespace r1::cuda
