// Memory of this process as the system counts it.
#pragma once

#include <cstdint>

namespace r1 {

std::int64_t peak_memory_bytes();      // the most that was resident so far
std::int64_t resident_memory_bytes();  // now; 0 where the system does not say

}  // namespace r1
