// CUDA on the CPU, for tests: the sources of kernels/cuda compiled by the C++ compiler against the
// headers of tests/emulation/include. Blocks of a grid run one after the other, the threads of a
// block as fibers that change places at barriers, warp instructions and waits only.
//
// What it is for: logic, indices, barriers. A kernel that lacks a barrier gives other bytes when
// threads run in another order (set_order), one that reads shared memory that nobody wrote reads
// NaN, and one whose threads do not all reach a barrier fails. What it cannot show: races inside
// one memory operation, time, or errors of the real compiler.
#pragma once

#include <cstddef>
#include <functional>

namespace r1::emulation {

struct Index3 {
    unsigned x = 0;
    unsigned y = 0;
    unsigned z = 0;
};

// Of the thread that runs. Threads of one process share them: a grid runs at a time.
extern Index3 thread_index;
extern Index3 block_index;
extern Index3 block_size;
extern Index3 grid_size;

// In which order blocks run, the warps of a block between two barriers, and the threads of a warp
// between two warp instructions. A warp runs as far as it can before the next one does.
// random: of warps that could run, some do, and some of them seldom.
enum class Order { ascending, descending, random };
void set_order(Order order, unsigned seed = 0);

// Runs `thread` for each thread of the grid. Throws InternalError if threads of a block wait for
// others that ended or wait elsewhere, and what `thread` throws.
void run_grid(Index3 grid, Index3 block, std::size_t shared_bytes,
              const std::function<void()>& thread);

void block_barrier();
void warp_barrier();
// Until `condition`, which other threads of the block bring about. Where it does not hold at once,
// and always in random order, it is asked when all other warps have had a turn.
void wait_until(const std::function<bool()>& condition);
// All other warps have a turn, or in random order some.
void give_way();
unsigned lane();

// The dynamic shared memory of the block, all ones when it starts.
std::byte* shared_memory();

// One slot for each lane of the thread's warp, for what lanes tell each other: each writes its own,
// passes warp_barrier(), reads those of others. Calls take turns between two sets of slots, so the
// next exchange cannot overwrite what a slow lane still reads.
inline constexpr std::size_t kSlotBytes = 128;
std::byte* exchange_slots();

}  // namespace r1::emulation
