// The part of the training state that only one rank has, as a safetensors file: its parts of the
// master weights and moments, and the parameters that no gradient trains.
#pragma once

#include <filesystem>

#include "model/checkpoint/safetensors.hpp"
#include "runtime/rank_state.hpp"

namespace r1 {

// Throws InputError.
void write_optimizer_file(const std::filesystem::path& file, RankState& state);

// An optimizer file that fits a state: opening throws InputError, naming all tensors that are
// missing, unknown, or of another size or type than the state's; restore() cannot fail.
class OptimizerFile {
public:
    OptimizerFile(const std::filesystem::path& file, RankState& state);
    void restore() const;

private:
    SafetensorsFile file_;
    RankState& state_;
};

}  // namespace r1
