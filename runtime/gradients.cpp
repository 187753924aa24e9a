#include "runtime/gradients.hpp"

#include <algorithm>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "model/workload/train.hpp"
#include "runtime/rank_executor.hpp"
#include "runtime/required_kernels.hpp"
#include "runtime/sequences.hpp"
#include "runtime/thread_communicator.hpp"
#include "runtime/token_check.hpp"

namespace r1 {

namespace {

TrainingSetup gradient_setup(const ModelConfig& config, std::int64_t sequences,
                             std::int64_t length) {
    TrainingSetup setup = forward_setup(config, sequences, length);
    setup.sizes.inference = false;
    return setup;
}

std::vector<std::int64_t> piece_shape(const StateParameter& parameter) {
    std::vector<std::int64_t> shape;
    for (const Extent& extent : parameter.tensor.shape) {
        shape.push_back(static_cast<std::int64_t>(extent.constant));
    }
    if (shape.size() == 3) {
        shape.erase(shape.begin());
    }
    const std::int64_t columns = shape.size() > 1 ? shape.back() : 1;
    shape.front() = static_cast<std::int64_t>(parameter.pieces.piece_elements) / columns;
    return shape;
}

// Under the checkpoint's names. The trunk's loss does not depend on the MTP module.
void collect(RankState& state, GradientLoss loss, Evaluation& evaluation) {
    for (const auto& [key, parameter] : state.parameters()) {
        const bool is_mtp = parameter.tensor.name.rfind("mtp.", 0) == 0;
        if (parameter.shard == nullptr || (is_mtp && loss == GradientLoss::main)) {
            continue;
        }
        const std::size_t size = parameter.pieces.piece_elements;
        for (std::size_t i = 0; i < parameter.pieces.names.size(); ++i) {
            const HostView values(parameter.shard->gradient.memory(),
                                  static_cast<const float*>(parameter.gradient()) + i * size, size);
            NamedTensor tensor;
            tensor.shape = piece_shape(parameter);
            tensor.f32.assign(values.values().begin(), values.values().end());
            evaluation.tensors["grad." + parameter.pieces.names[i]] = std::move(tensor);
        }
    }
}

}  // namespace

Evaluation evaluate_gradients(const Checkpoint& checkpoint, const std::vector<std::int32_t>& tokens,
                              std::int64_t sequences, GradientLoss loss,
                              const EvaluateOptions& options) {
    const ModelConfig& config = checkpoint.config();
    const auto total = static_cast<std::int64_t>(tokens.size());
    const std::int64_t length = total / std::max<std::int64_t>(sequences, 1);
    check_token_ids(config, tokens, options.token_source, length);
    check_length(config, length, options.token_source);
    R1_CHECK(length > 0 && length * sequences == total);
    const std::int64_t ahead = loss == GradientLoss::mtp ? 2 : 1;
    if (ahead == 2 && config.num_nextn_predict_layers == 0) {
        throw InputError(options.token_source, "the model has no MTP module");
    }
    if (length <= ahead) {
        throw InputError(options.token_source, "too few tokens: none of them is predicted");
    }
    const std::int64_t predicted = (length - ahead) * sequences;

    Evaluation evaluation{
        {}, build_training_graph(gradient_setup(config, sequences, length)), {}, {}};
    const ExecutionGraph& graph = evaluation.graph;
    const Dependencies dependencies(graph);
    require_kernels({graph}, config, options.policy, options.device);
    const std::unique_ptr<Device> made = options.device.make(config);
    Device& device = *made;
    RankState state(
        graph, RankId(0), config, options.policy, {{0}},
        [&](const std::string& name, std::size_t) { return checkpoint.f32(name); }, device);
    ThreadWorld world(1, 1, device.memory());
    RankExecutor executor({graph, config, options.policy, length, RankId(0), 1,
                           [](const Tensor& tensor) { return tensor.name.ends_with("nll"); }},
                          dependencies, state, device, world.end(0));
    TrainingStep training;
    (loss == GradientLoss::main ? training.loss_scale : training.mtp_loss_scale) =
        1 / static_cast<double>(predicted);
    (loss == GradientLoss::main ? training.mtp_loss_scale : training.loss_scale) = 0;
    training.weight_decay = 0;  // and no learning rate: the parameters stay
    const InputValues inputs = training_inputs(tokens, length);
    double sum = 0;
    const std::string nll = loss == GradientLoss::main ? "nll" : "mtp.nll";
    executor.run({training, [&](const Context&) -> const InputValues& { return inputs; },
                  [&](const LiveTensor& live) {
                      if (live.tensor.name == nll) {
                          for (const float value : live.f32()) {
                              sum += value;
                          }
                      }
                  },
                  &evaluation.intervals});
    NamedTensor mean;
    mean.shape = {1};
    mean.f32 = {static_cast<float>(sum / static_cast<double>(predicted))};
    evaluation.tensors["loss"] = std::move(mean);
    collect(state, loss, evaluation);
    return evaluation;
}

}  // namespace r1
