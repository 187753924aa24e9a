// The memory of the emulated device: a range of its own. While it is guarded, only kernels, copies
// and whoever holds a DeviceAccess can touch it: a host that reads or writes it in place faults, as
// with a GPU.
#pragma once

#include <cstddef>

namespace r1::emulation {

// All ones until written: NaN. nullptr: no memory is left. `pooled`: of the stream-ordered pool.
void* device_allocate(std::size_t bytes, bool pooled = false);
void device_release(void* memory);  // all ones again: who reads it still, sees NaN
void device_spoil(void* memory, std::size_t bytes);
bool is_device(const void* memory);

// Bytes as they were asked for; the pool's peak since the start or the last reset.
struct DeviceUse {
    std::size_t total = 0;
    std::size_t live = 0;
    std::size_t pool_peak = 0;
};
DeviceUse device_use();
void device_reset_pool_peak();

// Guarding costs two system calls an access, which threads take in turns: for one rank at a time.
class GuardedMemory {
public:
    GuardedMemory();
    ~GuardedMemory();
    GuardedMemory(const GuardedMemory&) = delete;
    GuardedMemory& operator=(const GuardedMemory&) = delete;
};

class DeviceAccess {
public:
    DeviceAccess();
    ~DeviceAccess();
    DeviceAccess(const DeviceAccess&) = delete;
    DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace r1::emulation
