// Executes a rank's part of a training step: every op of its program, in the order of its streams,
// each stream a thread. What orders ops of different streams is the graph's dependencies, and
// nothing else. Threads start ops; on a device that has an order of its own, streams wait for each
// other there (device_progress.hpp), and the host waits only for values that it reads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/timeline/timeline.hpp"
#include "runtime/buffer_pool.hpp"
#include "runtime/collectives.hpp"
#include "runtime/communicator.hpp"
#include "runtime/device.hpp"
#include "runtime/device_progress.hpp"
#include "runtime/exchange_record.hpp"
#include "runtime/executor.hpp"
#include "runtime/expert_exchange.hpp"
#include "runtime/messages.hpp"
#include "runtime/rank_plan.hpp"
#include "runtime/rank_state.hpp"

namespace r1 {

// An activation while it is alive, for the host to read.
struct LiveTensor {
    const PlannedOp& op;  // that made it
    const Tensor& tensor;
    DType stored = DType::f32;
    std::span<const std::byte> data;

    [[nodiscard]] std::span<const float> f32() const {
        return {reinterpret_cast<const float*>(data.data()), data.size() / sizeof(float)};
    }
    [[nodiscard]] std::span<const std::int32_t> i32() const {
        return {reinterpret_cast<const std::int32_t*>(data.data()), data.size() / 4};
    }
};

struct RankSetup {
    const ExecutionGraph& graph;
    const ModelConfig& config;
    const ExecutionPolicy& policy;
    std::int64_t sequence_length = 0;
    RankId rank;
    int ranks_per_node = 1;  // of the job
    // Which outputs `observe` sees, after the step.
    std::function<bool(const Tensor&)> observes;
    std::int64_t comm_sms = 0;  // SMs of a GPU that kernels leave to communication beside them
    std::int64_t routed_capacity = 0;  // token copies that a layer may bring here; 0: any number
};

// What one step gets.
struct RankStep {
    const TrainingStep& training;
    // Token ids and labels of a micro-batch.
    std::function<const InputValues&(const Context&)> inputs;
    std::function<void(const LiveTensor&)> observe;
    std::vector<Interval>* intervals = nullptr;  // appended to, if given; lane 0
    std::int32_t iteration = 0;
};

class RankExecutor {
public:
    // Keeps references to all of them.
    RankExecutor(RankSetup setup, const Dependencies& dependencies, RankState& state,
                 Device& device, Communicator& communicator);

    // Throws what an op threw; the other ranks are told to stop. Gradients are zero before it
    // begins, and reduced and applied in the end, as the graph's optimizer says.
    void run(const RankStep& step);

    // Of the last step, each of this rank's.
    [[nodiscard]] std::vector<ExchangeRecord> exchanges() const;
    [[nodiscard]] const RankPlan& plan() const { return plan_; }
    [[nodiscard]] std::size_t peak_activation_bytes() const { return pool_.peak_bytes(); }

private:
    struct Buffer {
        std::span<std::byte> data;
        std::uint32_t readers = 0;  // left
        StreamPoints users{};       // that were
    };
    struct Marks {
        std::uint64_t start = 0;
        std::uint64_t end = 0;
    };
    // Of an expert layer and micro-batch: (stage, direction, micro-batch, layer).
    using LayerKey = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int16_t>;

    void prepare(const RankStep& step);
    void run_streams(const RankStep& step);
    void run_stream(Stream stream, const RankStep& step);
    void execute(const PlannedOp& op, const RankStep& step, Marks& marks);
    void compute(const PlannedOp& op, OpCall& call, const RankStep& step);

    [[nodiscard]] SymbolValues symbols(const PlannedOp& op);
    [[nodiscard]] OpCall call_of(const PlannedOp& op, const RankStep& step);
    void set_data(const PlannedOp& op, TensorArg& arg, std::uint32_t buffer, const RankStep& step);
    std::span<std::byte> take(const PlannedOp& op, std::size_t bytes);
    std::span<std::byte> open(const PlannedOp& op, std::uint32_t buffer, std::size_t bytes);
    void release(const PlannedOp& op, const OpCall& call);
    template <class Call>
    void for_each_observed(const RankStep& step, const Call& call) const;
    void observe(const RankStep& step);
    void add_intervals(const RankStep& step);
    void fail(const std::exception& error);

    // rank_communication.cpp
    void message(const PlannedOp& op, OpCall& call);
    void exchange(const PlannedOp& op, OpCall& call);
    void announce(const PlannedOp& op, const OpCall& call);
    void dispatch(const PlannedOp& op, OpCall& call);
    void combine(const PlannedOp& op, OpCall& call);
    [[nodiscard]] ExchangePlan& exchange_plan(const PlannedOp& op);
    [[nodiscard]] std::span<std::byte> output(const PlannedOp& op, std::size_t which,
                                              std::size_t bytes);
    [[nodiscard]] LayerKey layer_of(const PlannedOp& op) const;

    // rank_optimizer.cpp
    void optimize(const PlannedOp& op, OpCall& call);
    void collective(const PlannedOp& op, OpCall& call);
    void sum_loads(const PlannedOp& op, OpCall& call, const CollectiveGroup& group);
    void add_norm(const PlannedOp& op, const OpCall& call);
    void update(const PlannedOp& op, const OpCall& call);
    void update_ema(const PlannedOp& op, const OpCall& call);
    void store_parameters(const PlannedOp& op, const OpCall& call);
    [[nodiscard]] float squares_of(const PlannedOp& op, const OpCall& call, const TensorArg& arg);
    void update_biases(const OpCall& call);
    [[nodiscard]] StateShard& shard_of(const PlannedOp& op, const Tensor& tensor);

    RankSetup setup_;
    RankPlan plan_;
    RankState& state_;
    Device& device_;
    Communicator& communicator_;
    std::optional<ExpertExchange> exchange_;

    StreamProgress progress_;
    DeviceProgress device_progress_;
    BufferPool pool_;
    std::vector<Marks> marks_;  // of the timed step's ops
    std::mutex mutex_;          // of all that follows
    std::vector<Buffer> buffers_;
    std::optional<InputCopies> inputs_;  // of this step
    std::map<LayerKey, ExchangePlan> plans_;
    std::vector<Messages> sent_;  // of this step, to other pipeline ranks
    std::exception_ptr error_;
};

}  // namespace r1
