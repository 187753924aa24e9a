#include "runtime/buffer_pool.hpp"

#include <algorithm>
#include <bit>
#include <iterator>

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

std::span<std::byte> BufferPool::take(std::size_t bytes, const IsOver& is_over) {
    const std::lock_guard lock(mutex_);
    const std::size_t size = size_class(bytes);
    std::vector<Free>& free = free_[size];
    MemoryBlock block;
    const auto found = std::find_if(free.rbegin(), free.rend(),
                                    [&](const Free& old) { return is_over(old.users); });
    if (found == free.rend()) {
        block = allocate_block(memory_, size);
    } else {
        block = std::move(found->block);
        free.erase(std::next(found).base());
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

void BufferPool::give_back(std::span<std::byte> buffer, const StreamPoints& users) {
    const std::lock_guard lock(mutex_);
    const auto found = taken_.find(buffer.data());
    R1_CHECK(found != taken_.end());
    if (memory_.is_host()) {
        R1_POISON(buffer.data(), size_class(buffer.size()));
    }
    free_[size_class(buffer.size())].push_back({std::move(found->second), users});
    taken_.erase(found);
    live_bytes_ -= buffer.size();
}

void BufferPool::settle() {
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : free_) {
        for (Free& free : blocks) {
            free.users = {};
        }
    }
}

std::size_t BufferPool::peak_bytes() const {
    const std::lock_guard lock(mutex_);
    return peak_bytes_;
}

}  // namespace r1
