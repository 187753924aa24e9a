// Executes the forward graph of one rank on a device.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/timeline/timeline.hpp"
#include "runtime/device.hpp"

namespace r1 {

// Values of tensors with role `input`, by name: token ids and labels.
using InputValues = std::map<std::string, std::vector<std::int32_t>>;

// A tensor that outlived the run.
struct TensorValue {
    std::vector<std::int64_t> shape;
    DType dtype = DType::f32;
    std::vector<std::byte> data;

    [[nodiscard]] std::vector<float> f32() const;  // f32 and bf16
    [[nodiscard]] std::vector<std::int32_t> i32() const;
};

struct ExecutionResult {
    std::map<std::string, TensorValue> tensors;  // those asked for
    Timeline timeline;                           // measured
    std::size_t arena_bytes = 0;
};

struct ExecutionInput {
    const ExecutionGraph& graph;
    const ModelConfig& config;
    const StageWeights& weights;
    const ExecutionPolicy& policy;
    const InputValues& inputs;
    SymbolValues symbols{};
    std::int64_t sequence_length = 0;
    std::function<bool(const Tensor&)> keep;  // which activations to return
};

// The graph has one rank and one chunk (pipeline_parallel 1, one micro-batch).
ExecutionResult execute(const ExecutionInput& input, Device& device);

}  // namespace r1
