// Memory of this process and machine as the system counts it.
#pragma once

#include <cstdint>

namespace r1 {

std::int64_t peak_memory_bytes();      // the most that was resident so far
std::int64_t resident_memory_bytes();  // now; 0 where the system does not say

// What a process of this machine, or of the container that it is in, can have. The largest number
// where the system does not say.
std::int64_t available_memory_bytes();

}  // namespace r1
