// trainer.json of a training checkpoint: what the trainer was at, and all other files of the
// checkpoint with their checksums.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/base/json.hpp"

namespace r1 {

// What a job needs to go on, beside the state of its ranks.
struct TrainerState {
    std::int64_t step = 0;  // steps that were taken
    std::uint64_t seed = 0;
    std::string graph_hash;
    std::string data_hash;
    Json progress;  // the caller's own
};

struct CheckpointFile {
    std::string name;  // within the checkpoint
    std::uint64_t bytes = 0;
    std::string checksum;
};

struct TrainerDocument {
    TrainerState state;
    int ranks = 0;
    std::vector<CheckpointFile> files;
};

inline constexpr const char* kTrainerFileName = "trainer.json";

// All of them throw InputError.
void write_trainer_document(const std::filesystem::path& checkpoint,
                            const TrainerDocument& document);
TrainerDocument read_trainer_document(const std::filesystem::path& checkpoint);

Json to_json(const CheckpointFile& file);

// A file as it lies there.
CheckpointFile describe_file(const std::filesystem::path& checkpoint, const std::string& name);
// That it is there in the size that was written, and that it holds what was written.
void check_size(const std::filesystem::path& checkpoint, const CheckpointFile& file);
void check_content(const std::filesystem::path& checkpoint, const CheckpointFile& file);

}  // namespace r1
