// The CPU: the kernels of kernels/cpu.
#pragma once

#include <cstdint>

#include "runtime/device.hpp"

namespace r1 {

// Threads of the CPU's kernels, for all devices of the process made afterwards; results do not
// depend on it. By default one a core.
void set_cpu_threads(std::int64_t threads);
// Whether kernels let other threads run in between (kernels/cpu/threads.hpp); off by default.
void set_cpu_turns(bool on);

class CpuDevice : public Device {
public:
    explicit CpuDevice(const ModelConfig& config);
};

}  // namespace r1
