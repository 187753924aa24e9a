// Where the device is emulated, the host cannot touch its memory while one of these lives.
#pragma once

#if __has_include(<cuda_emulated.h>)
#include "tests/emulation/memory.hpp"
namespace r1::test {
using DeviceGuard = emulation::GuardedMemory;
}
#else
namespace r1::test {
struct DeviceGuard {
    DeviceGuard() {}  // a GPU guards its own
};
}  // namespace r1::test
#endif
