// The curves of a training run: a JSON line a step, written as the step ends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>

#include "runtime/rank_trainer.hpp"

namespace r1 {

class TrainingCurves {
public:
    // Keeps the lines of steps up to `step` that are in the file already, drops the others: a run
    // that goes on from a checkpoint repeats them. Throws InputError.
    TrainingCurves(std::filesystem::path file, std::int64_t step);

    // {"step", "loss", "mtp_loss", "learning_rate", "gradient_norm", "expert_load"}: losses in nats
    // a predicted token, loads in tokens by layer and expert, of dense layers []. Throws InputError
    // if the disk is full.
    void add(std::int64_t step, double learning_rate, const StepOutcome& outcome);

private:
    std::filesystem::path file_;
    std::ofstream out_;
};

}  // namespace r1
