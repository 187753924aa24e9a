#include "runtime/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/workload/train.hpp"
#include "runtime/binding.hpp"
#include "runtime/required_kernels.hpp"
#include "runtime/sequences.hpp"
#include "runtime/token_check.hpp"

namespace r1 {

namespace {

// As the router makes them, without the bias.
void scores_from_logits(const ModelConfig& config, std::vector<float>& values) {
    if (config.scoring_func == ScoringFunc::sigmoid) {
        for (float& value : values) {
            value = 1 / (1 + std::exp(-value));
        }
        return;
    }
    const auto experts = static_cast<std::ptrdiff_t>(config.n_routed_experts);
    for (auto row = values.begin(); row != values.end(); row += experts) {
        const float largest = *std::max_element(row, row + experts);
        std::transform(row, row + experts, row,
                       [largest](float value) { return std::exp(value - largest); });
        const float sum = std::accumulate(row, row + experts, 0.0F);
        std::transform(row, row + experts, row, [sum](float value) { return value / sum; });
    }
}

// Collects results under the golden names, dropping the last `cut` rows of every sequence.
class Collector {
public:
    Collector(const TensorValues& result, Evaluation& evaluation, std::int64_t sequences,
              std::int64_t length)
        : result_(result), evaluation_(evaluation), sequences_(sequences), length_(length) {}

    void floats(const std::string& from, const std::string& to, std::int64_t cut) {
        const TensorValue& value = result_.at(from);
        put(to, value.shape, cut).f32 = rows(value.f32(), value.shape, cut);
    }
    void integers(const std::string& from, const std::string& to, std::int64_t cut) {
        const TensorValue& value = result_.at(from);
        NamedTensor& tensor = put(to, value.shape, cut);
        tensor.i32 = rows(value.i32(), value.shape, cut);
        tensor.is_integer = true;
    }

    void router(const ModelConfig& config, const std::string& from, const std::string& to,
                std::int64_t cut) {
        floats(from + "gate.logits", to + "scores", cut);
        NamedTensor& scores = evaluation_.tensors.at(to + "scores");
        scores_from_logits(config, scores.f32);
        integers(from + "gate.indices", to + "indices", cut);
        floats(from + "gate.weights", to + "weights", cut);
        const NamedTensor& indices = evaluation_.tensors.at(to + "indices");
        const NamedTensor& weights = evaluation_.tensors.at(to + "weights");
        NamedTensor dense;
        dense.shape = scores.shape;
        dense.f32.assign(scores.f32.size(), 0);
        const auto slots = static_cast<std::size_t>(config.num_experts_per_tok);
        const auto experts = static_cast<std::size_t>(config.n_routed_experts);
        for (std::size_t i = 0; i < indices.i32.size(); ++i) {
            dense.f32[i / slots * experts + static_cast<std::size_t>(indices.i32[i])] =
                weights.f32[i];
        }
        evaluation_.tensors[to + "weights_dense"] = std::move(dense);
    }

    // nll without the rows that have no label, and their mean.
    void loss(const std::string& from, const std::string& to, std::int64_t cut) {
        floats(from, to + "nll", cut);
        const std::vector<float>& nll = evaluation_.tensors.at(to + "nll").f32;
        double sum = 0;
        for (const float value : nll) {
            sum += value;
        }
        NamedTensor mean;
        mean.shape = {1};
        // Of no label at all: not a number.
        mean.f32 = {static_cast<float>(sum / static_cast<double>(nll.size()))};
        evaluation_.tensors[to + "loss"] = std::move(mean);
    }

private:
    NamedTensor& put(const std::string& name, std::vector<std::int64_t> shape, std::int64_t cut) {
        shape.front() -= std::min(cut, length_) * sequences_;
        NamedTensor& tensor = evaluation_.tensors[name];
        if (sequences_ > 1) {
            shape.front() /= sequences_;
            shape.insert(shape.begin(), sequences_);
        }
        tensor.shape = std::move(shape);
        return tensor;
    }

    template <class T>
    std::vector<T> rows(const std::vector<T>& values, const std::vector<std::int64_t>& shape,
                        std::int64_t cut) const {
        const std::size_t width = values.size() / static_cast<std::size_t>(shape.front());
        const auto kept = static_cast<std::size_t>(std::max<std::int64_t>(0, length_ - cut));
        std::vector<T> result;
        for (std::int64_t sequence = 0; sequence < sequences_; ++sequence) {
            const auto begin =
                values.begin() +
                static_cast<std::ptrdiff_t>(static_cast<std::size_t>(sequence * length_) * width);
            result.insert(result.end(), begin, begin + static_cast<std::ptrdiff_t>(kept * width));
        }
        return result;
    }

    const TensorValues& result_;
    Evaluation& evaluation_;
    std::int64_t sequences_;
    std::int64_t length_;
};

// Hidden states and routing of one decoder layer.
void collect_layer(Collector& collect, const ModelConfig& config, const EvaluateOptions& options,
                   bool moe, const std::string& prefix, const std::string& output,
                   const std::string& to, std::int64_t cut) {
    if (options.hidden) {
        collect.floats(prefix + "self_attn.output", to + "attn_out", cut);
        collect.floats(output, to + "hidden", cut);
    }
    if (options.router && moe) {
        collect.router(config, prefix + "mlp.", to + "router.", cut);
    }
}

void collect_all(Collector& collect, const ModelConfig& config, const EvaluateOptions& options) {
    collect.floats("logits", "logits", 0);
    collect.loss("nll", "", 1);
    if (options.hidden) {
        collect.floats("hidden.in", "embed", 0);
        collect.floats("final_norm", "final_norm", 0);
    }
    for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
        collect_layer(collect, config, options, config.is_moe(layer),
                      fmt::format("layers.{}.", layer), fmt::format("hidden.{}", layer + 1),
                      fmt::format("layers.{}.", layer), 0);
    }
    if (options.mtp && config.num_nextn_predict_layers > 0) {
        // Row i reads token i + 1 and predicts token i + 2.
        EvaluateOptions all = options;
        all.hidden = all.router = true;
        collect_layer(collect, config, all, config.has_experts(), "mtp.", "mtp.out", "mtp.", 1);
        collect.floats("mtp.logits", "mtp.logits", 1);
        collect.loss("mtp.nll", "mtp.", 2);
    }
}

bool wanted(const Tensor& tensor) {
    const std::string& name = tensor.name;
    const auto ends = [&](const char* suffix) { return name.ends_with(suffix); };
    return ends("logits") || ends("nll") || name.starts_with("hidden.") || name == "mtp.out" ||
           name == "final_norm" || ends("self_attn.output") || ends("gate.indices") ||
           ends("gate.weights");
}

}  // namespace

Evaluation evaluate(const Checkpoint& checkpoint, const std::vector<std::int32_t>& tokens,
                    std::int64_t sequences, const EvaluateOptions& options) {
    const ModelConfig& config = checkpoint.config();
    const auto total = static_cast<std::int64_t>(tokens.size());
    const std::int64_t length = total / std::max<std::int64_t>(sequences, 1);
    check_token_ids(config, tokens, options.token_source, length);
    check_length(config, length, options.token_source);
    R1_CHECK(length > 0 && length * sequences == total);

    const TrainingSetup setup = forward_setup(config, sequences, length);
    Evaluation evaluation{{}, build_forward_graph(setup), {}, {}};
    const ExecutionGraph& graph = evaluation.graph;
    require_kernels({graph}, config, options.policy, options.device);
    const std::unique_ptr<Device> device = options.device.make(config);
    StageWeights weights(options.policy, device->memory());
    const ChunkTemplate& chunk = graph.templates().front();
    weights.plan(chunk);
    const InputValues inputs = training_inputs(tokens, length);
    const SymbolValues symbols = local_binding(config, total);
    const auto keep = [&](const Tensor& tensor) {
        return wanted(tensor) || (options.expert_rows && is_expert_offsets(tensor));
    };
    const Executor executor({graph, config, options.policy, length, keep}, weights, symbols,
                            *device);
    const auto bytes = [](std::size_t count) { return static_cast<double>(count); };
    reserve_memory(options.device, "",
                   {{"weights", bytes(StageWeights::planned_bytes(chunk, options.policy))},
                    {"activations", bytes(executor.plan().activation_bytes)},
                    {"workspace", bytes(executor.plan().workspace_bytes)}});
    weights.load(chunk, checkpoint, 0);
    Arena arena(executor.plan().bytes(), device->memory());
    const TensorValues result = executor.run({inputs, symbols}, arena, &evaluation.intervals);
    evaluation.bound = {graph.hash(), symbols, expert_rows(result)};
    Collector collect(result, evaluation, sequences, length);
    collect_all(collect, config, options);
    return evaluation;
}

}  // namespace r1
