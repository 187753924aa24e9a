// Memory that the kernels of a device read and write. Nothing but kernels and a Memory may touch
// what is_host() does not call the host's.
//
// Calls of one thread take effect in their order, on the device's stream of that thread
// (Device::attach), as its kernels do. Threads that use the same memory wait for each other's
// events, before they release it too; the host waits in copies to it and in finish() alone.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace r1 {

// What a thread had started on a device at some time.
class DeviceEvent {
public:
    DeviceEvent() = default;
    DeviceEvent(const DeviceEvent&) = delete;
    DeviceEvent& operator=(const DeviceEvent&) = delete;
    virtual ~DeviceEvent() = default;

    // What the calling thread starts from now on runs behind it. The host goes on.
    virtual void wait() const = 0;
    // Returns when it is done.
    virtual void finish() const = 0;
    [[nodiscard]] virtual bool has_passed() const = 0;
};

class Memory {
public:
    virtual ~Memory() = default;

    // Aligned as kernels want it (kWorkspaceAlignment), contents undefined; also for 0 bytes.
    // Throws std::bad_alloc.
    [[nodiscard]] virtual std::byte* allocate(std::size_t bytes) = 0;
    virtual void release(std::byte* memory) noexcept = 0;

    // Whether the host reads and writes it in place.
    [[nodiscard]] virtual bool is_host() const = 0;

    // Either side may be the host's. The host's side is read, or there, on return.
    virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
    virtual void zero(void* to, std::size_t bytes) = 0;
    // Returns when all is done that the calling thread has started, kernels included.
    virtual void finish() = 0;
    // All that the calling thread has started; nullptr where that is done.
    [[nodiscard]] virtual std::shared_ptr<const DeviceEvent> record() { return nullptr; }
};

// The process's own.
Memory& host_memory();

// Releases what it was given to where it came from.
class MemoryDeleter {
public:
    explicit MemoryDeleter(Memory& memory = host_memory()) : memory_(&memory) {}
    void operator()(std::byte* data) const noexcept { memory_->release(data); }

private:
    Memory* memory_;
};
using MemoryBlock = std::unique_ptr<std::byte, MemoryDeleter>;

inline MemoryBlock allocate_block(Memory& memory, std::size_t bytes) {
    return MemoryBlock(memory.allocate(bytes), MemoryDeleter(memory));
}

// Values in the memory of a device, `T` as the host has it.
template <class T>
class DeviceArray {
public:
    explicit DeviceArray(Memory& memory = host_memory()) : memory_(&memory) {}
    // Contents undefined.
    DeviceArray(Memory& memory, std::size_t size)
        : memory_(&memory), block_(allocate_block(memory, size * sizeof(T))), size_(size) {}
    DeviceArray(Memory& memory, std::span<const T> values) : DeviceArray(memory, values.size()) {
        memory.copy(data(), values.data(), values.size_bytes());
    }

    [[nodiscard]] Memory& memory() const { return *memory_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] T* data() { return reinterpret_cast<T*>(block_.get()); }
    [[nodiscard]] const T* data() const { return reinterpret_cast<const T*>(block_.get()); }
    [[nodiscard]] std::span<T> span() { return {data(), size_}; }
    [[nodiscard]] std::span<const T> span() const { return {data(), size_}; }

    void zero() { memory_->zero(data(), size_ * sizeof(T)); }
    [[nodiscard]] std::vector<T> on_host() const {
        std::vector<T> values(size_);
        memory_->copy(values.data(), data(), size_ * sizeof(T));
        return values;
    }

private:
    Memory* memory_;
    MemoryBlock block_;
    std::size_t size_ = 0;
};

// What lies in a memory, for the host to read: in place where it can, else a copy.
template <class T>
class HostView {
public:
    HostView(Memory& memory, const T* data, std::size_t size) : values_(data, size) {
        if (!memory.is_host()) {
            copy_.resize(size);
            memory.copy(copy_.data(), data, size * sizeof(T));
            values_ = copy_;
        }
    }
    explicit HostView(const DeviceArray<T>& array)
        : HostView(array.memory(), array.data(), array.size()) {}
    HostView(const HostView&) = delete;
    HostView& operator=(const HostView&) = delete;

    [[nodiscard]] std::span<const T> values() const { return values_; }

private:
    std::vector<T> copy_;
    std::span<const T> values_;
};

// The other way round: what the host has, for kernels to read.
template <class T>
class DeviceView {
public:
    DeviceView(Memory& memory, std::span<const T> values) : copy_(memory), data_(values.data()) {
        if (!memory.is_host()) {
            copy_ = DeviceArray<T>(memory, values);
            data_ = copy_.data();
        }
    }
    DeviceView(const DeviceView&) = delete;
    DeviceView& operator=(const DeviceView&) = delete;

    [[nodiscard]] const T* data() const { return data_; }

private:
    DeviceArray<T> copy_;
    const T* data_;
};

}  // namespace r1
