// A training run from its first step to its last on one rank: data, learning rate, curves,
// checkpoints, held-out loss, and one step as it was measured.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "model/workload/training_spec.hpp"
#include "runtime/measured_steps.hpp"
#include "runtime/rank_trainer.hpp"
#include "runtime/training_data.hpp"

namespace r1 {

struct TrainingProgress {
    std::int64_t step = 0;
    std::int64_t steps = 0;
    double loss = 0;
    double tokens_per_s = 0;
    double remaining_s = 0;
};

// All ranks get the same.
struct TrainingRun {
    const TrainingSpec& training;
    const TrainingJob& job;
    const ExecutionGraph& graph;
    const Dependencies& dependencies;
    const TrainingData& data;
    Json config;  // config.json of the model, for checkpoints
    std::uint64_t seed = 0;
    bool resume = false;           // from the newest checkpoint, if there is one
    std::filesystem::path curves;  // empty: none are written
    std::function<void(const TrainingProgress&)> on_step;  // rank 0 calls it
};

struct TrainingResult {
    std::int64_t resumed_from = 0;  // steps that another run took
    std::vector<double> loss;       // of all steps, those before a resume too
    std::vector<double> mtp_loss;
    std::vector<std::vector<std::vector<std::int32_t>>> expert_load;  // last steps, layer, expert
    double learning_rate = 0;                                         // of the last step
    double gradient_norm = 0;
    std::optional<double> held_out_loss;
    std::vector<double> iteration_s;     // of this run's steps
    double wall_s = 0;                   // of all of them, with the checkpoints between
    MeasuredStep measured;               // of the last few steps, the one of median time
    std::int64_t peak_memory_bytes = 0;  // of the largest process
    // Of its device's memory, the same; nothing where that is the host's.
    std::optional<std::int64_t> device_peak_bytes;
};

// Throws InputError for what is wrong with checkpoints, the same on all ranks.
TrainingResult run_training(const TrainingRun& run, Communicator& communicator);

}  // namespace r1
