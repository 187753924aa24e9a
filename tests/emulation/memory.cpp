#include "tests/emulation/memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "model/base/check.hpp"

namespace r1::emulation {

namespace {

constexpr std::size_t kReservedBytes = std::size_t{8} << 30U;
constexpr std::size_t kGrowBytes = std::size_t{16} << 20U;
constexpr std::size_t kSmallest = 256;  // and the alignment, as of cudaMalloc

class DeviceHeap {
public:
    DeviceHeap() {
        void* memory = mmap(nullptr, kReservedBytes, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        R1_CHECK(memory != MAP_FAILED);
        begin_ = static_cast<std::byte*>(memory);
    }

    void* allocate(std::size_t bytes, bool pooled) {
        const std::lock_guard lock(mutex_);
        const std::size_t size = std::bit_ceil(std::max(bytes, kSmallest));
        std::byte* memory = nullptr;
        std::vector<std::byte*>& free = free_[size];
        if (!free.empty()) {
            memory = free.back();
            free.pop_back();
        } else if (size > kReservedBytes - used_) {
            return nullptr;
        } else {
            memory = begin_ + used_;
            used_ += size;
            grow();
        }
        sizes_[memory] = {size, bytes, pooled};
        live_ += bytes;
        pool_ += pooled ? bytes : 0;
        pool_peak_ = std::max(pool_peak_, pool_);
        spoil(memory, size);
        return memory;
    }
    void release(void* memory) {
        if (memory == nullptr) {
            return;
        }
        const std::lock_guard lock(mutex_);
        const auto found = sizes_.find(static_cast<std::byte*>(memory));
        R1_CHECK(found != sizes_.end());
        spoil(found->first, found->second.size);
        free_[found->second.size].push_back(found->first);
        live_ -= found->second.asked;
        pool_ -= found->second.pooled ? found->second.asked : 0;
        sizes_.erase(found);
    }
    [[nodiscard]] bool holds(const void* memory) const {
        const auto* address = static_cast<const std::byte*>(memory);
        return address >= begin_ && address < begin_ + kReservedBytes;
    }
    [[nodiscard]] DeviceUse use() {
        const std::lock_guard lock(mutex_);
        return {kReservedBytes, live_, pool_peak_};
    }
    void reset_pool_peak() {
        const std::lock_guard lock(mutex_);
        pool_peak_ = pool_;
    }
    void guard(bool on) {
        const std::lock_guard lock(mutex_);
        protect(PROT_READ | PROT_WRITE);
        is_guarded_ = on;
        if (accesses_ == 0) {
            protect(PROT_NONE);
        }
    }
    void open() {
        const std::lock_guard lock(mutex_);
        if (accesses_++ == 0) {
            protect(PROT_READ | PROT_WRITE);
        }
    }
    void close() {
        const std::lock_guard lock(mutex_);
        if (--accesses_ == 0) {
            protect(PROT_NONE);
        }
    }

private:
    void spoil(std::byte* memory, std::size_t bytes) {
        if (accesses_ == 0) {
            protect(PROT_READ | PROT_WRITE);
        }
        std::memset(memory, 0xFF, bytes);
        if (accesses_ == 0) {
            protect(PROT_NONE);
        }
    }
    // Closed only where it is guarded.
    void protect(int how) {
        const bool opens = how != PROT_NONE;
        if (opens == is_open_ || (!opens && !is_guarded_)) {
            return;
        }
        R1_CHECK(grown_ == 0 || mprotect(begin_, grown_, how) == 0);
        is_open_ = opens;
    }
    void grow() {
        if (used_ > grown_) {
            grown_ = std::min((used_ + kGrowBytes - 1) / kGrowBytes * kGrowBytes, kReservedBytes);
            R1_CHECK(mprotect(begin_, grown_, is_open_ ? PROT_READ | PROT_WRITE : PROT_NONE) == 0);
        }
    }

    std::mutex mutex_;
    std::byte* begin_ = nullptr;
    std::size_t used_ = 0;
    std::size_t grown_ = 0;
    bool is_guarded_ = false;
    bool is_open_ = false;
    int accesses_ = 0;
    struct Block {
        std::size_t size;
        std::size_t asked;
        bool pooled;
    };
    std::map<std::byte*, Block> sizes_;
    std::size_t live_ = 0;
    std::size_t pool_ = 0;  // of these, in the pool
    std::size_t pool_peak_ = 0;
    std::map<std::size_t, std::vector<std::byte*>> free_;
};

DeviceHeap& heap() {
    static auto* all = new DeviceHeap;  // outlives what is released at the end of the process
    return *all;
}

}  // namespace

void* device_allocate(std::size_t bytes, bool pooled) { return heap().allocate(bytes, pooled); }
void device_release(void* memory) { heap().release(memory); }
void device_spoil(void* memory, std::size_t bytes) { std::memset(memory, 0xFF, bytes); }
bool is_device(const void* memory) { return heap().holds(memory); }
DeviceUse device_use() { return heap().use(); }
void device_reset_pool_peak() { heap().reset_pool_peak(); }

GuardedMemory::GuardedMemory() { heap().guard(true); }
GuardedMemory::~GuardedMemory() { heap().guard(false); }

DeviceAccess::DeviceAccess() { heap().open(); }
DeviceAccess::~DeviceAccess() { heap().close(); }

}  // namespace r1::emulation
