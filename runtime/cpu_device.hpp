// The CPU: ops by kernel table over kernels/cpu.
#pragma once

#include <cstdint>
#include <vector>

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

    [[nodiscard]] std::size_t workspace_bytes(const OpCall& call) const override;
    void execute(const OpCall& call) override;
    [[nodiscard]] std::string name() const override { return "cpu"; }

    [[nodiscard]] const std::vector<float>& rope_frequencies() const { return frequencies_; }
    [[nodiscard]] float rope_magnitude() const { return magnitude_; }
    [[nodiscard]] float softmax_scale() const { return softmax_scale_; }

private:
    std::vector<float> frequencies_;
    float magnitude_ = 1;
    float softmax_scale_ = 1;
};

}  // namespace r1
