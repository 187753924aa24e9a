// Where the tests of the CUDA kernels run: on the emulation, or on a GPU.
#pragma once

#include <cstddef>

#include "kernels/cuda/launch.hpp"

namespace r1::test {

// How a kernel runs in a test. `at_best`: by cuBLASLt and with Hopper's own instructions where that
// can be, else by what every GPU runs.
cuda::Launch device_launch(bool at_best = true);

// Runs of one kernel differ in the order of their threads where that can be chosen. On a GPU they
// differ by chance. Kernels whose warps wait for each other one by one need more.
inline constexpr int kOrders = 2;
inline constexpr int kOrdersOfWaits = 5;
void choose_order(int order);

// Memory of the device, and its contents; copies wait for kernels that run.
void* device_allocate(std::size_t bytes);
void device_free(void* memory);
void device_upload(void* to, const void* from, std::size_t bytes);
void device_download(void* to, const void* from, std::size_t bytes);

}  // namespace r1::test
