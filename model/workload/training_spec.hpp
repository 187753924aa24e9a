// How a scenario of kind `train` trains: what a run does beyond the graph of its steps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "model/base/dtype.hpp"
#include "model/base/json_fwd.hpp"

namespace r1 {

enum class RateDecay { constant, cosine };

// Defaults: peak as in arXiv 2412.19437, sec. 4.2, and constant.
struct LearningRate {
    double peak = 2.2e-4;
    std::int64_t warmup_steps = 0;
    RateDecay decay = RateDecay::constant;
    double final_rate = 2.2e-4;  // of the last step, if it decays; read as peak unless given
};

// Of one step of `steps`, counted from 1: linear from 0 up to the peak at the last warm-up step,
// then the peak, or half a cosine from there to final_rate at the last step.
double learning_rate(const LearningRate& rate, std::int64_t step, std::int64_t steps);

// AdamW with decoupled weight decay, and clipping (arXiv 2412.19437, sec. 4.2).
struct OptimizerSpec {
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
    double gradient_norm_max = 1.0;  // 0: no clipping
    DType moments = DType::bf16;     // or f32
    double ema_decay = 0;            // of the averaged weights; 0: none are kept
};

struct CheckpointSpec {
    std::filesystem::path folder;
    std::int64_t every_steps = 0;  // 0: only at the end
    std::int64_t keep = 2;         // how many stay
};

// Paths are resolved and their existence is not checked: a simulation reads none of them.
struct TrainingSpec {
    std::int64_t steps = 100;
    std::vector<std::filesystem::path> data;                  // text files, and folders of them
    double held_out_fraction = 0.05;                          // of the sequences, never trained on
    std::optional<std::filesystem::path> initial_checkpoint;  // Hugging Face; none: random weights
    LearningRate learning_rate;
    OptimizerSpec optimizer;
    double mtp_loss_weight = 0.3;      // lambda (arXiv 2412.19437, sec. 4.2)
    double balance_loss_alpha = 1e-4;  // of the sequence-wise balance loss
    double bias_update_speed = 1e-3;   // gamma of the routers' bias; 0: no balancing by bias
    std::optional<CheckpointSpec> checkpoint;
};

// Reads the keys of a training workload. Relative paths are relative to the file that names them;
// those of --set to the current folder.
TrainingSpec read_training_spec(const Document& document, ObjectReader& workload);

// For workloads of other kinds: says of each of these keys that only training has it.
void refuse_training_spec(ObjectReader& workload);

}  // namespace r1
