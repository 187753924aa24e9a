// Memory of activations whose sizes only the run knows. What is given back is used again, so that
// steps after the first take nothing from the system; but not before the device is done with it, or
// will be when the new user's turn comes. Nobody waits for that: new memory is taken. (A stream
// that waited for another's buffers could hold up an exchange that the other one waits for.)
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/memory.hpp"
#include "runtime/stream_progress.hpp"

namespace r1 {

class BufferPool {
public:
    explicit BufferPool(Memory& memory = host_memory()) : memory_(memory) {}
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // Aligned as kernels want it, contents undefined; also for 0 bytes. `is_over` says whether what
    // ran up to these points is done when the new user starts.
    using IsOver = std::function<bool(const StreamPoints&)>;
    [[nodiscard]] std::span<std::byte> take(std::size_t bytes, const IsOver& is_over);
    // As take() returned it; the ops up to `users` may use it still.
    void give_back(std::span<std::byte> buffer, const StreamPoints& users);
    // All who used what was given back are done: numbers of ops begin anew.
    void settle();

    [[nodiscard]] std::size_t peak_bytes() const;  // taken at once, as asked for

private:
    struct Free {
        MemoryBlock block;
        StreamPoints users{};
    };

    Memory& memory_;
    mutable std::mutex mutex_;
    std::map<const std::byte*, MemoryBlock> taken_;
    std::map<std::size_t, std::vector<Free>> free_;  // by size class
    std::size_t live_bytes_ = 0;
    std::size_t peak_bytes_ = 0;
};

}  // namespace r1
