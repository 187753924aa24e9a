#include "runtime/buffer_pool.hpp"

#include <algorithm>
#include <bit>

#include "model/base/check.hpp"
#include "runtime/poison.hpp"

namespace r1 {

namespace {

// Eight classes an octave: at most an eighth is wasted.
std::size_t size_class(std::size_t bytes) {
    constexpr std::size_t kSmallest = 64;
    const std::size_t octave = std::bit_floor(std::max(bytes, kSmallest));
    const std::size_t step = octave / 8;
    return (std::max(bytes, kSmallest) + step - 1) / step * step;
}

}  // namespace

std::span<std::byte> BufferPool::take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::size_t size = size_class(bytes);
    std::vector<MemoryBlock>& free = free_[size];
    MemoryBlock block;
    if (free.empty()) {
        block = allocate_block(memory_, size);
    } else {
        block = std::move(free.back());
        free.pop_back();
    }
    std::byte* begin = block.get();
    if (memory_.is_host()) {
        R1_POISON(begin, size);
        R1_UNPOISON(begin, bytes);
    }
    taken_.emplace(begin, std::move(block));
    live_bytes_ += bytes;
    peak_bytes_ = std::max(peak_bytes_, live_bytes_);
    return {begin, bytes};
}

void BufferPool::give_back(std::span<std::byte> buffer) {
    const std::lock_guard lock(mutex_);
    const auto found = taken_.find(buffer.data());
    R1_CHECK(found != taken_.end());
    if (memory_.is_host()) {
        R1_POISON(buffer.data(), size_class(buffer.size()));
    }
    free_[size_class(buffer.size())].push_back(std::move(found->second));
    taken_.erase(found);
    live_bytes_ -= buffer.size();
}

std::size_t BufferPool::peak_bytes() const {
    const std::lock_guard lock(mutex_);
    return peak_bytes_;
}

}  // namespace r1
