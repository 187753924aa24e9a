// The CPU: ops by kernel table over kernels/cpu.
#pragma once

#include <vector>

#include "runtime/device.hpp"

namespace r1 {

class CpuDevice : public Device {
public:
    explicit CpuDevice(const ModelConfig& config);

    void execute(const OpCall& call) override;
    [[nodiscard]] std::string name() const override { return "cpu"; }

    // Scratch memory of the kernels, aligned; grows to the largest that was asked for.
    std::span<std::byte> workspace(std::size_t bytes);
    [[nodiscard]] const std::vector<float>& rope_frequencies() const { return frequencies_; }
    [[nodiscard]] float rope_magnitude() const { return magnitude_; }
    [[nodiscard]] float softmax_scale() const { return softmax_scale_; }
    // 0, 1, … restarting with every sequence.
    const std::int32_t* positions(std::int64_t tokens, std::int64_t sequence_length);

private:
    std::vector<std::byte> workspace_;
    std::vector<std::int32_t> positions_;
    std::vector<float> frequencies_;
    float magnitude_ = 1;
    float softmax_scale_ = 1;
};

}  // namespace r1
