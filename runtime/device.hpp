// What executes ops: kernels and the memory that they work in. The graph, who holds what and the
// order are the executor's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/graph/op.hpp"
#include "runtime/clock.hpp"
#include "runtime/kernel_set.hpp"
#include "runtime/memory.hpp"
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
    std::int64_t comm_sms = 0;               // that communication beside the op takes
    std::int64_t received = 0;               // value of Symbol::received_tokens
    std::int64_t sequence_length = 0;
    std::int64_t cache_capacity = 0;  // rows of a cache from one sequence to the next
    std::vector<TensorArg> inputs{};
    std::vector<TensorArg> outputs{};
    std::span<std::byte> workspace{};
};

// Work that a device was given once and can be told to do again.
class Recording {
public:
    Recording() = default;
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    virtual ~Recording() = default;

    // On the calling thread's stream: the same kernels with the same arguments, as one.
    virtual void start() const = 0;
};

class Device {
public:
    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    [[nodiscard]] const std::string& name() const { return name_; }  // "cpu": for run_info
    [[nodiscard]] Memory& memory() const { return memory_; }
    [[nodiscard]] const KernelSet& kernels() const { return kernels_; }

    // Bytes of OpCall::workspace that execute() needs for such an op. The call has sizes and
    // weights, but no data; its dims are the largest that the run will see.
    [[nodiscard]] std::size_t workspace_bytes(const OpCall& call) const;
    // Starts the op; what the thread starts next sees its results. Throws FeatureError if the
    // device has no kernel for it.
    void execute(const OpCall& call) const;

    // The calling thread starts the ops of `stream` from now on.
    virtual void attach(Stream /*stream*/) {}
    // When kernels run, by the device's clock: a mark between what the thread starts before and
    // after it. Its time, by clock_ps(), is known once the memory's finish() has returned; ask for
    // it once. start_clock() comes before a run's first mark.
    virtual void start_clock() {}
    virtual std::uint64_t mark() { return static_cast<std::uint64_t>(clock_ps()); }
    virtual TimePs time_of(std::uint64_t mark) { return static_cast<TimePs>(mark); }
    // Around all that belongs to an op, for profilers.
    virtual void begin_op(const Op& /*op*/) {}
    virtual void end_op() {}
    // SMs that kernels of streams of communication take from now on; 0: all.
    void set_comm_sms(std::int64_t sms) { comm_sms_ = sms; }
    // What the calling thread gives the device in `work`, recorded and not done; nullptr, and
    // `work` is not called, where the device has no such thing. `work` neither waits nor allocates.
    [[nodiscard]] virtual std::unique_ptr<Recording> record(const std::function<void()>& /*work*/) {
        return nullptr;
    }
    // How the calling thread's next kernel runs: one that computes on the SMs that communication
    // leaves.
    [[nodiscard]] virtual cuda::Launch launch(std::int64_t /*comm_sms*/) const { return {}; }

    [[nodiscard]] const float* rope_frequencies() const { return frequencies_.data(); }
    [[nodiscard]] float rope_magnitude() const { return magnitude_; }
    [[nodiscard]] float softmax_scale() const { return softmax_scale_; }

protected:
    Device(std::string name, Memory& memory, const KernelSet& kernels, const ModelConfig& config);

    [[nodiscard]] std::int64_t comm_sms() const { return comm_sms_; }

private:
    std::string name_;
    Memory& memory_;
    KernelSet kernels_;
    DeviceArray<float> frequencies_;
    float magnitude_ = 1;
    float softmax_scale_ = 1;
    std::int64_t comm_sms_ = 0;
};

class Communicator;

// What devices of processes need to know before they connect.
struct DeviceLinks {
    std::vector<std::pair<int, int>> pipeline;  // (from, to), ascending: who sends such messages
    int comm_sms = 0;                           // of a GPU, for exchanges; 0: as many as they want
};

// How a run makes the devices of its ranks.
struct DeviceKind {
    std::string name;
    Memory* memory = nullptr;  // of all of them
    KernelSet kernels;         // of each
    std::function<std::unique_ptr<Device>(const ModelConfig&)> make;
    // A communicator whose messages of devices go from memory to memory of processes' devices;
    // `host` carries the others and outlives it. Null: `host` carries all, of the host's memory.
    std::function<std::unique_ptr<Communicator>(Communicator& host, const DeviceLinks& links)>
        connect = nullptr;
    // Takes that many bytes for the allocations to come, where the memory is not the host's, or
    // throws InfeasibleError, which begins with `what` needs them.
    std::function<void(std::size_t bytes, const std::string& what)> reserve = nullptr;
    // The most that was allocated at once since then; null for the host's memory.
    std::function<std::size_t()> peak_bytes = nullptr;
    // Why some kernels are not there: goes behind the message that names them.
    std::string lacks = {};
};
const DeviceKind& cpu_devices();

struct PlannedPart {
    const char* name;  // "weights"
    double bytes = 0;
};
// Reserves the parts of a plan together; `whose` it is (" of 2 ranks"). Throws InfeasibleError,
// which says what the plan is made of.
void reserve_memory(const DeviceKind& devices, const std::string& whose,
                    std::initializer_list<PlannedPart> parts);

}  // namespace r1
