// How many threads the kernels use. Not inline: every file of a program must agree, compiled with
// OpenMP or not.
#pragma once

#include <cstdint>

namespace r1::cpu {

// What the next kernel will use at most, whichever thread calls it; the workspaces of kernels grow
// with it. Not to be set while a kernel runs.
std::int64_t thread_count();
void set_thread_count(std::int64_t count);
std::int64_t thread_index();

// With more busy threads than cores: whether a kernel lets the others run every 0.3 ms. Ranks then
// advance side by side, as on devices of their own; the operating system alone lets each run for a
// tick of some milliseconds, longer than most ops, and all who wait for its messages wait that
// long.
void set_turns(bool on);
// Where a kernel may let others run: after so many elements of work.
void take_turns(std::int64_t elements);

}  // namespace r1::cpu
