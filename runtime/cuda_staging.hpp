// Pinned memory through which a stream's copies pass, so that the host goes on when it has given
// its values and the device reads them in its own time.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>

namespace r1::cuda {

// Of one stream; one thread at a time.
class Staging {
public:
    explicit Staging(cudaStream_t stream);
    ~Staging();
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;

    // `from` is read on return. Waits only where more is under way than there is room for.
    void upload(std::byte* to, const std::byte* from, std::size_t bytes);
    // Done on return. The host reads one part while the next is under way.
    void download(std::byte* to, const std::byte* from, std::size_t bytes);

private:
    static constexpr std::size_t kPageBytes = std::size_t{4} << 20U;

    // Filled one after the other, and again when the stream is through.
    struct Page {
        std::byte* data = nullptr;
        cudaEvent_t done = nullptr;
    };
    void turn();

    cudaStream_t stream_;
    std::array<Page, 2> pages_;
    std::size_t page_ = 0;
    std::size_t used_ = 0;  // of that page
};

}  // namespace r1::cuda
