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

// Numbers of one training step that no tensor holds.
struct TrainingStep {
    double loss_scale = 1;      // of a predicted token's loss: one over how many there are
    double mtp_loss_scale = 0;  // the same for the MTP module, times its weight lambda
    double balance_alpha = 0;   // of a sequence's balance loss, over how many there are
    // AdamW with decoupled weight decay (arXiv 2412.19437, sec. 4.2), and clipping.
    double learning_rate = 0;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
    double gradient_norm_max = 0;  // 0: no clipping
    std::int64_t step = 1;         // counted from 1, for the moments' bias correction
    bool f32_moments = false;      // comparisons; else BF16
    double ema_decay = 0;          // of the parameters' moving average, where the graph keeps one
    double bias_speed = 0;         // gamma of the routers' bias update
    bool frozen = false;           // an evaluation: the optimizer changes nothing
};

struct OpCall {
    const Op& op;
    const ModelConfig& config;
    const ExecutionPolicy& policy;
    const TrainingStep* training = nullptr;  // of a training step only
    std::vector<std::int64_t> dims{};        // of compute ops, values of the run
    std::int64_t received = 0;               // value of Symbol::received_tokens
    std::int64_t sequence_length = 0;
    std::int64_t cache_capacity = 0;  // rows of a cache from one sequence to the next
    std::vector<TensorArg> inputs{};
    std::vector<TensorArg> outputs{};
    std::span<std::byte> workspace{};
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
