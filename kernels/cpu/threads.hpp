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

}  // namespace r1::cpu
