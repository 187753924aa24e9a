// Loops over threads. Every body writes its own part of the output and sums in an order of its
// own, so results are the same bytes for any number of threads.
#pragma once

#include <cstdint>

#include "kernels/cpu/threads.hpp"

namespace r1::cpu {

// Elements below which waking the threads costs more than it saves.
inline constexpr std::int64_t kParallelElementsMin = 1 << 14;

// body(index) for 0 <= index < count, in turns; each index has `elements` of work.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t elements, const Body& body) {
    [[maybe_unused]] const bool wide = count > 1 && count * elements >= kParallelElementsMin;
#pragma omp parallel for schedule(static, 1) if (wide)
    for (std::int64_t index = 0; index < count; ++index) {
        body(index);
    }
}

}  // namespace r1::cpu
