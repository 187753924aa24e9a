// Memory of activations whose sizes only the run knows. What is given back is used again, so that
// steps after the first take nothing from the system.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace r1 {

class BufferPool {
public:
    BufferPool() = default;
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // Aligned as kernels want it, contents undefined; also for 0 bytes.
    [[nodiscard]] std::span<std::byte> take(std::size_t bytes);
    void give_back(std::span<std::byte> buffer);  // as take() returned it

    [[nodiscard]] std::size_t peak_bytes() const;  // taken at once, as asked for

private:
    struct Free {
        void operator()(std::byte* memory) const;
    };
    using Memory = std::unique_ptr<std::byte, Free>;

    mutable std::mutex mutex_;
    std::map<const std::byte*, Memory> taken_;
    std::map<std::size_t, std::vector<Memory>> free_;  // by size class
    std::size_t live_bytes_ = 0;
    std::size_t peak_bytes_ = 0;
};

}  // namespace r1
