#include "runtime/rank_trainer.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu/fill_normal.hpp"
#include "model/base/check.hpp"
#include "model/base/rng.hpp"
#include "model/layers/stage.hpp"
#include "runtime/collectives.hpp"
#include "runtime/sequences.hpp"

namespace r1 {

namespace {

constexpr const char* kLoadOfStep = "optimizer.expert_load";
constexpr const char* kGradientNorm = "gradient_norm";  // squared

std::vector<std::int64_t> first_layers(const TrainingSetup& setup) {
    std::vector<std::int64_t> first;
    for (const StageLayout& layout : stage_layouts(setup.stage_layers)) {
        first.push_back(layout.first_layer);
    }
    return first;
}

bool is_observed(const Tensor& tensor) {
    return tensor.name == "nll" || tensor.name == "mtp.nll" || tensor.name == kLoadOfStep ||
           tensor.name == kGradientNorm;
}

// Micro-batches of one direction.
std::int64_t per_direction(const TrainingSetup& setup) {
    return setup.micro_batches / (setup.plan.schedule == ScheduleKind::dualpipe ? 2 : 1);
}

}  // namespace

std::int64_t TrainingJob::sequences() const {
    return setup.plan.data_parallel * setup.micro_batches * setup.sizes.sequences;
}

ModelConfig TrainingJob::routed_config() const {
    ModelConfig config = setup.sizes.config;
    if (node_limit > 0 && config.has_experts()) {
        const std::int64_t nodes =
            std::max<std::int64_t>(1, setup.plan.expert_parallel / ranks_per_node);
        config.n_group = nodes;
        config.topk_group = std::min(node_limit, nodes);
    }
    return config;
}

RankTrainer::RankTrainer(const TrainingJob& job, const ExecutionGraph& graph,
                         const Dependencies& dependencies, Communicator& communicator,
                         const RankState::Source& source)
    : job_(job),
      graph_(graph),
      config_(job.routed_config()),
      communicator_(communicator),
      first_layer_(first_layers(job.setup)),
      device_(job.device.make(config_)),
      state_(graph, RankId(static_cast<std::size_t>(communicator.rank())), config_, job.policy,
             {first_layer_, job.f32_moments, job.setup.ema}, source, *device_),
      executor_({graph, config_, job.policy, job.setup.sizes.sequence_length,
                 RankId(static_cast<std::size_t>(communicator.rank())), job.ranks_per_node,
                 is_observed, job.setup.plan.comm_sms, job.setup.plan.routed_capacity},
                dependencies, state_, *device_, communicator),
      replica_(
          graph.instances().replica_of(RankId(static_cast<std::size_t>(communicator.rank())))) {
    R1_CHECK(communicator.ranks() == graph.instances().ranks());
}

// Both directions of DualPipe count as one row of micro-batches; replicas take their shares in
// turn.
std::int64_t RankTrainer::first_sequence(const Context& context) const {
    const TrainingSetup& setup = job_.setup;
    const std::int64_t micro_batch = context.direction * per_direction(setup) + context.micro_batch;
    return (replica_ * setup.micro_batches + micro_batch) * setup.sizes.sequences;
}

const InputValues& RankTrainer::inputs(const Context& context, const Batch& batch) {
    const std::lock_guard lock(inputs_mutex_);
    const auto [entry, is_new] =
        inputs_.try_emplace({context.direction, context.micro_batch}, InputValues());
    if (is_new) {
        const TrainingSetup& setup = job_.setup;
        const std::int64_t first = first_sequence(context);
        std::vector<std::int32_t> tokens;
        for (std::int64_t i = 0; i < setup.sizes.sequences; ++i) {
            const std::vector<std::int32_t> sequence = batch(first + i);
            R1_CHECK(static_cast<std::int64_t>(sequence.size()) == setup.sizes.sequence_length);
            tokens.insert(tokens.end(), sequence.begin(), sequence.end());
        }
        entry->second = training_inputs(tokens, setup.sizes.sequence_length);
    }
    return entry->second;
}

std::size_t RankTrainer::layer_of(std::int32_t stage, const std::string& name) const {
    if (name.rfind("mtp.", 0) == 0) {
        return static_cast<std::size_t>(config_.num_hidden_layers);
    }
    constexpr std::size_t kPrefix = 7;  // "layers."
    return static_cast<std::size_t>(first_layer_[static_cast<std::size_t>(stage)] +
                                    std::stoll(name.substr(kPrefix)));
}

void RankTrainer::observe(const LiveTensor& live, Tally& tally) const {
    if (live.tensor.name == kGradientNorm) {
        tally.gradient_norm = std::sqrt(static_cast<double>(live.f32().front()));
        return;
    }
    if (live.tensor.name == kLoadOfStep) {
        const std::int32_t stage = live.op.context().stage;
        const RankId self(static_cast<std::size_t>(communicator_.rank()));
        if (graph_.group(GroupKind::data_parallel, self, stage).front() != self) {
            return;
        }
        // Of all replicas, layer after layer in the order of the op's inputs.
        const std::int32_t* load = live.i32().data();
        for (const TensorId id : live.op.op->inputs) {
            const Tensor& layer = live.op.chunk->tensors[id.index()];
            tally.load[layer_of(stage, layer.name)].assign(load, load + config_.n_routed_experts);
            load += config_.n_routed_experts;
        }
        return;
    }
    double& sum = live.tensor.name == "nll" ? tally.nll : tally.mtp_nll;
    const std::int64_t sequences = std::clamp<std::int64_t>(
        tally.sequences - first_sequence(live.op.context()), 0, job_.setup.sizes.sequences);
    const std::span<const float> nll =
        live.f32().first(static_cast<std::size_t>(sequences * job_.setup.sizes.sequence_length));
    sum = std::accumulate(nll.begin(), nll.end(), sum);
}

// The first replica of a stage tells the experts' load, which all of them know.
StepOutcome RankTrainer::sum_over_ranks(const Tally& tally) {
    std::vector<float> values = {static_cast<float>(tally.nll), static_cast<float>(tally.mtp_nll)};
    for (const std::vector<std::int32_t>& load : tally.load) {
        values.insert(values.end(), load.begin(), load.end());
    }
    std::vector<int> everyone(static_cast<std::size_t>(communicator_.ranks()));
    std::iota(everyone.begin(), everyone.end(), 0);
    all_reduce({communicator_, everyone, executor_.plan().spare_channel, MessageKind::report},
               values);
    const std::int64_t length = job_.setup.sizes.sequence_length;
    const auto mean = [&](float sum, std::int64_t unpredicted) {
        const std::int64_t tokens =
            tally.sequences * std::max<std::int64_t>(0, length - unpredicted);
        return tokens > 0 ? static_cast<double>(sum) / static_cast<double>(tokens) : 0;
    };
    StepOutcome outcome;
    outcome.loss = mean(values[0], 1);
    outcome.mtp_loss = mean(values[1], 2);
    outcome.gradient_norm = tally.gradient_norm;
    auto value = values.begin() + 2;
    for (const std::vector<std::int32_t>& load : tally.load) {
        std::vector<std::int32_t>& sum = outcome.expert_load.emplace_back();
        for (std::size_t i = 0; i < load.size(); ++i) {
            sum.push_back(static_cast<std::int32_t>(*value++));
        }
    }
    return outcome;
}

StepOutcome RankTrainer::step(const Batch& batch, TrainingStep numbers,
                              std::vector<Interval>* intervals, std::int32_t iteration) {
    const std::int64_t length = job_.setup.sizes.sequence_length;
    const auto scale = [&](std::int64_t unpredicted) {
        const std::int64_t tokens =
            job_.sequences() * std::max<std::int64_t>(0, length - unpredicted);
        return tokens > 0 ? 1 / static_cast<double>(tokens) : 0;
    };
    numbers.loss_scale = scale(1);
    numbers.mtp_loss_scale = job_.mtp_weight * scale(2);
    numbers.balance_alpha = job_.balance_alpha / static_cast<double>(job_.sequences());
    numbers.f32_moments = job_.f32_moments;
    numbers.bias_speed = job_.bias_speed;
    return run(batch, job_.sequences(), numbers, intervals, iteration);
}

StepOutcome RankTrainer::evaluate(const Batch& batch, std::int64_t count) {
    TrainingStep numbers;
    numbers.frozen = true;
    numbers.f32_moments = job_.f32_moments;
    return run(batch, count, numbers, nullptr, 0);
}

StepOutcome RankTrainer::run(const Batch& batch, std::int64_t count, const TrainingStep& numbers,
                             std::vector<Interval>* intervals, std::int32_t iteration) {
    Tally tally;
    tally.sequences = count;
    tally.load.resize(
        static_cast<std::size_t>(config_.num_hidden_layers + config_.num_nextn_predict_layers));
    for (std::size_t layer = 0; layer < tally.load.size(); ++layer) {
        if (config_.is_moe(static_cast<std::int64_t>(layer))) {
            tally.load[layer].resize(static_cast<std::size_t>(config_.n_routed_experts));
        }
    }
    inputs_.clear();
    executor_.run(
        {numbers,
         [&](const Context& context) -> const InputValues& { return inputs(context, batch); },
         [&](const LiveTensor& live) { observe(live, tally); }, intervals, iteration});
    return sum_over_ranks(tally);
}

RankState::Source random_parameters(std::uint64_t seed) {
    return [seed](const std::string& name, std::size_t elements) {
        constexpr double kDeviation = 0.006;
        if (name.ends_with("e_score_correction_bias")) {
            return std::vector<float>(elements, 0.0F);
        }
        if (name.find("norm") != std::string::npos) {
            return std::vector<float>(elements, 1.0F);
        }
        std::uint64_t stream = 0xCBF29CE484222325;  // FNV-1a of the name
        for (const char c : name) {
            stream = (stream ^ static_cast<unsigned char>(c)) * 0x100000001B3;
        }
        std::vector<float> values(elements);
        cpu::fill_normal(Rng(seed, stream), kDeviation, values);
        return values;
    };
}

}  // namespace r1
