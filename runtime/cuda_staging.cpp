#include "runtime/cuda_staging.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/check.hpp"

namespace r1::cuda {

Staging::Staging(cudaStream_t stream) : stream_(stream) {
    for (Page& page : pages_) {
        void* data = nullptr;
        check(cudaMallocHost(&data, kPageBytes), "cudaMallocHost");
        page.data = static_cast<std::byte*>(data);
        check(cudaEventCreateWithFlags(&page.done, cudaEventDisableTiming),
              "cudaEventCreateWithFlags");
    }
}

Staging::~Staging() {
    for (const Page& page : pages_) {
        cudaEventDestroy(page.done);
        cudaFreeHost(page.data);
    }
}

void Staging::turn() {
    check(cudaEventRecord(pages_[page_].done, stream_), "cudaEventRecord");
    page_ = 1 - page_;
    used_ = 0;
    check(cudaEventSynchronize(pages_[page_].done), "cudaEventSynchronize");
}

void Staging::upload(std::byte* to, const std::byte* from, std::size_t bytes) {
    while (bytes > 0) {
        if (used_ == kPageBytes) {
            turn();
        }
        const std::size_t count = std::min(bytes, kPageBytes - used_);
        std::byte* stage = pages_[page_].data + used_;
        std::memcpy(stage, from, count);
        check(cudaMemcpyAsync(to, stage, count, cudaMemcpyHostToDevice, stream_),
              "cudaMemcpyAsync");
        used_ += count;
        to += count;
        from += count;
        bytes -= count;
    }
}

void Staging::download(std::byte* to, const std::byte* from, std::size_t bytes) {
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");  // uploads are through
    const std::size_t parts = (bytes + kPageBytes - 1) / kPageBytes;
    for (std::size_t part = 0; part <= parts; ++part) {
        if (part < parts) {
            const Page& page = pages_[part % 2];
            const std::size_t begin = part * kPageBytes;
            check(cudaMemcpyAsync(page.data, from + begin, std::min(kPageBytes, bytes - begin),
                                  cudaMemcpyDeviceToHost, stream_),
                  "cudaMemcpyAsync");
            check(cudaEventRecord(page.done, stream_), "cudaEventRecord");
        }
        if (part > 0) {
            const Page& page = pages_[(part - 1) % 2];
            const std::size_t begin = (part - 1) * kPageBytes;
            check(cudaEventSynchronize(page.done), "cudaEventSynchronize");
            std::memcpy(to + begin, page.data, std::min(kPageBytes, bytes - begin));
        }
    }
    page_ = 0;
    used_ = 0;
}

}  // namespace r1::cuda
