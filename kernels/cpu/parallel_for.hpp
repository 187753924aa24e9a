// Loops over threads. Every body writes its own part of the output and sums in an order of its
// own, so results are the same bytes for any number of threads and whichever thread runs it. That
// allows dynamic turns: a thread that the machine holds up does not hold up the others.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/threads.hpp"

namespace r1::cpu {

// Elements below which waking the threads costs more than it saves.
inline constexpr std::int64_t kParallelElementsMin = 1 << 14;

// body(index) for 0 <= index < count; each index has `elements` of work.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t elements, const Body& body) {
    [[maybe_unused]] const bool wide = count > 1 && count * elements >= kParallelElementsMin;
    [[maybe_unused]] const std::int64_t threads = thread_count();
    [[maybe_unused]] const std::int64_t turn = std::max<std::int64_t>(count / (8 * threads), 1);
#pragma omp parallel for schedule(dynamic, turn) if (wide) num_threads(threads)
    for (std::int64_t index = 0; index < count; ++index) {
        body(index);
        take_turns(elements);
    }
}

}  // namespace r1::cpu
