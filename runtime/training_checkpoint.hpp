// Saving and restoring a training job: a resumed run computes the same bits as one that was never
// interrupted. A checkpoint is a folder in Hugging Face's layout, which Checkpoint::open() reads,
// with the optimizer's state beside the weights:
//   trainer.json                     runtime/trainer_document.hpp
//   config.json, model-00001-of-0000N.safetensors, model.safetensors.index.json
//   optimizer/rank-00000.safetensors                          runtime/optimizer_file.hpp
// Its folder must lie in a file system that all ranks share. runtime/checkpoint_folder.hpp finds
// the checkpoints there are.
#pragma once

#include <filesystem>

#include "model/checkpoint/checkpoint.hpp"
#include "runtime/agreement.hpp"
#include "runtime/rank_state.hpp"
#include "runtime/trainer_document.hpp"

namespace r1 {

struct SaveOptions {
    std::filesystem::path folder;  // of the job's checkpoints
    Json config;                   // config.json of the model
    bool f32_weights = false;      // else BF16; a config with FP8 weights has FP8 projections
    int keep = 2;                  // checkpoints that remain
};

// All ranks call it with the same arguments after a step; all return when the checkpoint is on the
// disk, or throw InputError with what one of them could not do, the earlier checkpoints untouched.
void save_training_checkpoint(const SaveOptions& options, const TrainerState& trainer,
                              RankState& state, const Everyone& ranks);

// Sets the state of all ranks; `checkpoint` is one of the folders there. Throws InputError on all
// ranks, the states untouched, if a file is damaged or the checkpoint is of another graph or
// number of ranks.
TrainerState restore_training_checkpoint(const std::filesystem::path& checkpoint,
                                         const std::string& graph_hash, RankState& state,
                                         const Everyone& ranks);

// The values of a Hugging Face checkpoint, which must outlive the source: a fresh start from it.
RankState::Source checkpoint_parameters(const Checkpoint& checkpoint);

}  // namespace r1
