// What executes ops. A device knows kernels; the graph, memory and order are the executor's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/graph/op.hpp"
#include "runtime/storage.hpp"
#include "runtime/weights.hpp"

namespace r1 {

struct TensorArg {
    const Tensor* tensor = nullptr;
    std::byte* data = nullptr;  // caches: of the step's first sequence
    DType stored = DType::f32;
    const Weight* weight = nullptr;  // parameters only

    [[nodiscard]] std::int64_t width() const {
        return static_cast<std::int64_t>(tensor->shape.back().constant);
    }
};

struct OpCall {
    const Op& op;
    const ModelConfig& config;
    const ExecutionPolicy& policy;
    std::vector<std::int64_t> dims;  // of compute ops, values of the run
    std::int64_t received = 0;       // value of Symbol::received_tokens
    std::int64_t sequence_length = 0;
    std::int64_t cache_capacity = 0;  // rows of a cache from one sequence to the next
    std::vector<TensorArg> inputs;
    std::vector<TensorArg> outputs;
    std::span<std::byte> workspace;
};

class Device {
public:
    virtual ~Device() = default;
    // Bytes of OpCall::workspace that execute() needs for such an op. The call has sizes and
    // weights, but no data; its dims are the largest that the run will see.
    [[nodiscard]] virtual std::size_t workspace_bytes(const OpCall& call) const = 0;
    // Throws FeatureError if the device has no kernel for the op.
    virtual void execute(const OpCall& call) = 0;
    // "cpu": for run_info.
    [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace r1
