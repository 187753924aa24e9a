// Memory of activations whose sizes only the run knows. What is given back is used again, so that
// steps after the first take nothing from the system.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/memory.hpp"

namespace r1 {

class BufferPool {
public:
    explicit BufferPool(Memory& memory = host_memory()) : memory_(memory) {}
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // Aligned as kernels want it, contents undefined; also for 0 bytes.
    [[nodiscard]] std::span<std::byte> take(std::size_t bytes);
    void give_back(std::span<std::byte> buffer);  // as take() returned it

    [[nodiscard]] std::size_t peak_bytes() const;  // taken at once, as asked for

private:
    Memory& memory_;
    mutable std::mutex mutex_;
    std::map<const std::byte*, MemoryBlock> taken_;
    std::map<std::size_t, std::vector<MemoryBlock>> free_;  // by size class
    std::size_t live_bytes_ = 0;
    std::size_t peak_bytes_ = 0;
};

}  // namespace r1
