#include "model/workload/training_spec.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "model/base/json.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

// Sequences are numbered over the whole run: steps x global batch stays below 2^63.
constexpr double kStepsMax = 1e9;

constexpr std::array kKeys = {"steps",
                              "data",
                              "held_out_fraction",
                              "initial_checkpoint",
                              "learning_rate",
                              "optimizer",
                              "mtp_loss_weight",
                              "balance_loss_alpha",
                              "bias_update_speed",
                              "checkpoint"};

// Reads paths, each relative to the file that it stands in.
class PathReader {
public:
    PathReader(const Document& document, ObjectReader& reader)
        : document_(document), reader_(reader) {}

    std::optional<fs::path> required(const char* key) {
        std::string name;
        reader_.required(key, name);
        return reader_.has(key) ? path(key, reader_.pointer(key), name) : std::nullopt;
    }

    std::optional<fs::path> optional(const char* key) {
        std::string name;
        reader_.optional(key, name);
        return reader_.has(key) ? path(key, reader_.pointer(key), name) : std::nullopt;
    }

    // One string, or an array of them.
    std::vector<fs::path> list(const char* key) {
        const Json* value = reader_.raw(key);
        if (value != nullptr && value->is_string()) {
            const std::optional<fs::path> only = optional(key);
            return only ? std::vector<fs::path>{*only} : std::vector<fs::path>();
        }
        if (value != nullptr && !value->is_null() && !value->is_array()) {
            reader_.error(key, "expects a path or an array of paths");
            return {};
        }
        std::vector<std::string> names;
        reader_.optional(key, names);
        std::vector<fs::path> paths;
        for (std::size_t i = 0; i < names.size(); ++i) {
            const std::string place = join_pointer(reader_.pointer(key), std::to_string(i));
            if (const auto each = path(key, place, names[i])) {
                paths.push_back(*each);
            }
        }
        return paths;
    }

private:
    std::optional<fs::path> path(const char* key, const std::string& pointer,
                                 const std::string& name) {
        if (name.empty()) {
            const Json* value = document_.find(pointer);
            if (value != nullptr && value->is_string()) {  // else it was reported already
                reader_.error(key, "a path must not be empty");
            }
            return std::nullopt;
        }
        const std::string file = document_.location(pointer).file;
        return file == "--set" ? fs::path(name) : fs::path(file).parent_path() / name;
    }

    const Document& document_;
    ObjectReader& reader_;
};

// [0, 1): a decay of 1 would never take up anything.
void read_decay(ObjectReader& reader, const char* key, double& out) {
    reader.optional(key, out, {0, 1});
    if (out == 1) {
        reader.error(key, "must be below 1");
    }
}

LearningRate read_learning_rate(ObjectReader reader) {
    LearningRate rate;
    reader.optional("peak", rate.peak, kPositive);
    reader.optional("warmup_steps", rate.warmup_steps, {0, kStepsMax});
    int decay = static_cast<int>(rate.decay);
    reader.optional_choice("decay", {"constant", "cosine"}, decay);
    rate.decay = static_cast<RateDecay>(decay);
    rate.final_rate = rate.peak;
    reader.optional("final", rate.final_rate, kNotNegative);
    if (rate.final_rate > rate.peak) {
        reader.error("final", "is above the peak");
    }
    reader.finish();
    return rate;
}

OptimizerSpec read_optimizer(ObjectReader reader) {
    OptimizerSpec optimizer;
    read_decay(reader, "beta1", optimizer.beta1);
    read_decay(reader, "beta2", optimizer.beta2);
    reader.optional("epsilon", optimizer.epsilon, kPositive);
    reader.optional("weight_decay", optimizer.weight_decay, kNotNegative);
    reader.optional("gradient_norm_max", optimizer.gradient_norm_max, kNotNegative);
    int moments = 0;
    reader.optional_choice("moments", {"bf16", "fp32"}, moments);
    optimizer.moments = moments == 0 ? DType::bf16 : DType::f32;
    read_decay(reader, "ema_decay", optimizer.ema_decay);
    reader.finish();
    return optimizer;
}

CheckpointSpec read_checkpoint(const Document& document, ObjectReader reader) {
    CheckpointSpec checkpoint;
    checkpoint.folder = PathReader(document, reader).required("folder").value_or("");
    reader.optional("every_steps", checkpoint.every_steps, {1, kStepsMax});
    reader.optional("keep", checkpoint.keep, {1, kStepsMax});
    reader.finish();
    return checkpoint;
}

}  // namespace

double learning_rate(const LearningRate& rate, std::int64_t step, std::int64_t steps) {
    if (step < rate.warmup_steps) {
        return rate.peak * static_cast<double>(step) / static_cast<double>(rate.warmup_steps);
    }
    // The step that has the peak: without warm-up the first one.
    const std::int64_t top = std::max<std::int64_t>(rate.warmup_steps, 1);
    if (rate.decay == RateDecay::constant || step <= top) {
        return rate.peak;
    }
    if (step >= steps) {
        return rate.final_rate;
    }
    const double progress = static_cast<double>(step - top) / static_cast<double>(steps - top);
    return rate.final_rate +
           (rate.peak - rate.final_rate) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

TrainingSpec read_training_spec(const Document& document, ObjectReader& workload) {
    TrainingSpec spec;
    PathReader paths(document, workload);
    workload.optional("steps", spec.steps, {1, kStepsMax});
    spec.data = paths.list("data");
    workload.optional("held_out_fraction", spec.held_out_fraction, {0, 0.5});
    spec.initial_checkpoint = paths.optional("initial_checkpoint");
    if (auto rate = workload.object("learning_rate", false)) {
        spec.learning_rate = read_learning_rate(*rate);
    }
    if (auto optimizer = workload.object("optimizer", false)) {
        spec.optimizer = read_optimizer(*optimizer);
    }
    workload.optional("mtp_loss_weight", spec.mtp_loss_weight, kNotNegative);
    workload.optional("balance_loss_alpha", spec.balance_loss_alpha, kNotNegative);
    workload.optional("bias_update_speed", spec.bias_update_speed, kNotNegative);
    if (auto checkpoint = workload.object("checkpoint", false)) {
        spec.checkpoint = read_checkpoint(document, *checkpoint);
    }
    return spec;
}

void refuse_training_spec(ObjectReader& workload) {
    for (const char* key : kKeys) {
        if (workload.has(key)) {
            workload.accept(key);
            workload.error(key, "only a workload of kind 'train' has this key");
        }
    }
}

}  // namespace r1
