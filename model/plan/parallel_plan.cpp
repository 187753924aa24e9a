#include "model/plan/parallel_plan.hpp"

#include <algorithm>
#include <limits>

#include "model/base/json.hpp"
#include "model/config/parameters.hpp"

namespace r1 {

namespace {

void read_recompute(ObjectReader& reader, Recompute& recompute) {
    if (!reader.has("recompute")) {
        return;
    }
    const std::vector<std::string> known = {"rms_norm", "mla_up_projection", "swiglu"};
    std::vector<std::string> names;
    reader.optional("recompute", names);
    recompute = {false, false, false};
    for (const std::string& name : names) {
        if (name == "rms_norm") {
            recompute.rms_norm = true;
        } else if (name == "mla_up_projection") {
            recompute.mla_up_projection = true;
        } else if (name == "swiglu") {
            recompute.swiglu = true;
        } else {
            reader.error("recompute", "unknown recomputation '" + name + "'" +
                                          did_you_mean(name, known) +
                                          " (rms_norm, mla_up_projection, swiglu)");
        }
    }
}

DType dtype_choice(ObjectReader& reader, const char* key, const std::vector<DType>& choices,
                   DType fallback) {
    std::vector<std::string> names;
    int chosen = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
        names.push_back(choices[i] == DType::e4m3 ? "fp8" : std::string(name(choices[i])));
        if (choices[i] == fallback) {
            chosen = static_cast<int>(i);
        }
    }
    reader.optional_choice(key, names, chosen);
    return choices[static_cast<std::size_t>(chosen)];
}

}  // namespace

Precision read_precision(ObjectReader reader) {
    Precision precision;
    precision.gemm = dtype_choice(reader, "gemm", {DType::e4m3, DType::bf16}, precision.gemm);
    precision.dispatch =
        dtype_choice(reader, "dispatch", {DType::e4m3, DType::bf16}, precision.dispatch);
    precision.combine = dtype_choice(reader, "combine", {DType::bf16}, precision.combine);
    reader.finish();
    return precision;
}

ParallelPlan read_parallel_plan(ObjectReader reader) {
    ParallelPlan plan;
    reader.required("pipeline_parallel", plan.pipeline_parallel, {1, 65536});
    reader.optional("expert_parallel", plan.expert_parallel, {1, 65536});
    reader.optional("data_parallel", plan.data_parallel, {1, 1 << 20});
    reader.optional("tensor_parallel", plan.tensor_parallel, {1, 65536});
    reader.optional("virtual_stages", plan.virtual_stages, {1, 1024});
    int schedule = static_cast<int>(plan.schedule);
    reader.optional_choice("schedule", schedule_names(), schedule);
    plan.schedule = static_cast<ScheduleKind>(schedule);
    reader.optional("stage_layers", plan.stage_layers, kNotNegative);
    reader.optional("zero_stage", plan.zero_stage, {0, 1});
    reader.optional("comm_sms", plan.comm_sms, kNotNegative);
    read_recompute(reader, plan.recompute);
    reader.optional("routed_capacity", plan.routed_capacity, kNotNegative);
    reader.optional("redundant_experts", plan.redundant_experts, {0, 65536});
    reader.finish();
    return plan;
}

namespace {

struct StageWeights {
    std::vector<double> prefix;  // of the decoder layers' forward FLOPs
    double last_extra = 0;       // head and MTP, which stay in the last stage

    [[nodiscard]] double stage(std::size_t from, std::size_t to, bool last) const {
        return prefix[to] - prefix[from] + (last ? last_extra : 0);
    }
};

StageWeights stage_weights(const ModelConfig& config, std::int64_t sequence_length) {
    // Differences of the closed form: FLOPs of a model with one layer more.
    const auto flops_of_layers = [&](std::int64_t layers) {
        ModelConfig part = config;
        part.num_hidden_layers = layers;
        return forward_flops_per_token(part, sequence_length, true).value();
    };
    StageWeights weights;
    weights.prefix.push_back(0);
    const double head = flops_of_layers(0);
    for (std::int64_t layer = 1; layer <= config.num_hidden_layers; ++layer) {
        weights.prefix.push_back(flops_of_layers(layer) - head);
    }
    weights.last_extra = head;
    if (config.num_nextn_predict_layers > 0) {
        const double hidden = static_cast<double>(config.hidden_size);
        ModelConfig moe = config;  // an MTP layer is MoE where there are experts at all
        moe.first_k_dense_replace = 0;
        moe.num_hidden_layers = 1;
        const double mtp_layer = forward_flops_per_token(moe, sequence_length, true).value() - head;
        const double eh_proj = 2 * 2 * hidden * hidden;
        weights.last_extra +=
            static_cast<double>(config.num_nextn_predict_layers) * (mtp_layer + eh_proj + head);
    }
    return weights;
}

// Additions in another order must not decide between equal stages.
constexpr double kSame = 1e-9;

// best[s][l]: the cost of stages s… holding layers l…, by `combine(stage cost, rest)`; `take` says
// where the first of them ends. Ties go to the longest stage.
template <class Combine>
std::vector<std::vector<std::size_t>> best_partition(const StageWeights& weights,
                                                     std::size_t stages, Combine combine,
                                                     double& cost) {
    const std::size_t layers = weights.prefix.size() - 1;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    std::vector<std::vector<double>> best(stages + 1, std::vector<double>(layers + 1, kInfinity));
    std::vector<std::vector<std::size_t>> take(stages, std::vector<std::size_t>(layers + 1));
    best[stages][layers] = 0;
    for (std::size_t s = stages; s-- > 0;) {
        for (std::size_t l = 0; l <= layers; ++l) {
            for (std::size_t end = layers + 1; end-- > l;) {
                const double here =
                    combine(weights.stage(l, end, s + 1 == stages), best[s + 1][end]);
                if (here < best[s][l] * (1 - kSame)) {
                    best[s][l] = here;
                    take[s][l] = end;
                }
            }
        }
    }
    cost = best[0][0];
    return take;
}

}  // namespace

std::vector<std::int64_t> partition_layers(const ModelConfig& config, const ParallelPlan& plan,
                                           std::int64_t sequence_length) {
    if (!plan.stage_layers.empty()) {
        return plan.stage_layers;
    }
    const auto stages = static_cast<std::size_t>(stage_count(plan.schedule_options(1)));
    const StageWeights weights = stage_weights(config, sequence_length);
    double largest = 0;
    best_partition(
        weights, stages, [](double stage, double rest) { return std::max(stage, rest); }, largest);
    double squares = 0;
    const auto take = best_partition(
        weights, stages,
        [&](double stage, double rest) {
            return stage > largest * (1 + kSame) ? std::numeric_limits<double>::infinity()
                                                 : stage * stage + rest;
        },
        squares);
    std::vector<std::int64_t> result;
    std::size_t layer = 0;
    for (std::size_t s = 0; s < stages; ++s) {
        result.push_back(static_cast<std::int64_t>(take[s][layer] - layer));
        layer = take[s][layer];
    }
    return result;
}

}  // namespace r1
