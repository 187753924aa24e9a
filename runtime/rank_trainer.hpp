// One rank of a training job: its state, and steps over global batches. Ranks differ in nothing
// but their number and their end of the communicator, so threads and processes are alike.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "model/workload/train.hpp"
#include "runtime/rank_executor.hpp"

namespace r1 {

// What all ranks agree on.
struct TrainingJob {
    TrainingSetup setup;  // of the graph
    ExecutionPolicy policy;
    DeviceKind device = cpu_devices();
    int ranks_per_node = 1;
    std::int64_t node_limit = 0;  // > 0: experts are grouped by node, a token goes to that many
    bool f32_moments = false;     // of AdamW; else BF16
    double mtp_weight = 0.3;      // lambda of the MTP loss (arXiv 2412.19437, sec. 4.2)
    double balance_alpha = 1e-4;  // of the sequence-wise balance loss
    double bias_speed = 0.001;    // gamma of the routers' bias update; 0: no balancing by bias

    [[nodiscard]] std::int64_t sequences() const;  // of a global batch
    // The config that routers go by.
    [[nodiscard]] ModelConfig routed_config() const;
};

struct StepOutcome {
    double loss = 0;           // mean cross-entropy over the batch's predicted tokens
    double mtp_loss = 0;       // the same of the MTP module; 0 if the model has none
    double gradient_norm = 0;  // before clipping
    // Tokens of each expert, by layer of the model (the MTP module's last); empty for dense layers.
    std::vector<std::vector<std::int32_t>> expert_load;
};

class RankTrainer {
public:
    // Token ids of the n-th sequence of the batch, sequence_length of them.
    using Batch = std::function<std::vector<std::int32_t>(std::int64_t sequence)>;

    // Keeps references to job, graph, dependencies and communicator.
    RankTrainer(const TrainingJob& job, const ExecutionGraph& graph,
                const Dependencies& dependencies, Communicator& communicator,
                const RankState::Source& source);

    // `numbers`: learning rate, step and the optimizer's settings; scales of losses are set here.
    // All ranks return the same outcome. Appends to `intervals`, if given.
    StepOutcome step(const Batch& batch, TrainingStep numbers,
                     std::vector<Interval>* intervals = nullptr, std::int32_t iteration = 0);

    // The losses of the first `count` sequences of a batch; the others are padding. Changes nothing
    // but the outcome of exchanges().
    StepOutcome evaluate(const Batch& batch, std::int64_t count);

    [[nodiscard]] RankState& state() { return state_; }
    [[nodiscard]] const RankExecutor& executor() const { return executor_; }

private:
    struct Tally {
        std::int64_t sequences = 0;  // that count
        double nll = 0;
        double mtp_nll = 0;
        double gradient_norm = 0;
        std::vector<std::vector<std::int32_t>> load;
    };

    [[nodiscard]] std::int64_t first_sequence(const Context& context) const;
    [[nodiscard]] const InputValues& inputs(const Context& context, const Batch& batch);
    void observe(const LiveTensor& live, Tally& tally) const;
    [[nodiscard]] StepOutcome sum_over_ranks(const Tally& tally);
    StepOutcome run(const Batch& batch, std::int64_t count, const TrainingStep& numbers,
                    std::vector<Interval>* intervals, std::int32_t iteration);
    [[nodiscard]] std::size_t layer_of(std::int32_t stage, const std::string& name) const;

    const TrainingJob& job_;
    const ExecutionGraph& graph_;
    ModelConfig config_;
    Communicator& communicator_;
    std::vector<std::int64_t> first_layer_;  // by stage
    std::unique_ptr<Device> device_;
    RankState state_;
    RankExecutor executor_;
    std::int64_t replica_ = 0;
    std::mutex inputs_mutex_;
    std::map<std::tuple<std::int32_t, std::int32_t>, InputValues> inputs_;  // of this step
};

// Values of a fresh model: matrices normal with standard deviation 0.006 (arXiv 2412.19437, sec.
// 4.2), norms 1, routers' bias 0. The same for a name whoever asks.
RankState::Source random_parameters(std::uint64_t seed);

}  // namespace r1
