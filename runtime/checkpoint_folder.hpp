// The folder of a job's training checkpoints:
//   step-00000120/              complete, whatever happens meanwhile
//   .step-00000130.partial/     being written, or left behind by a killed run
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace r1 {

struct ListedCheckpoint {
    std::filesystem::path path;
    std::int64_t step = 0;
    std::string problem;  // why it is of no use; empty if nothing speaks against it
};

// Newest first. All files must be there in their sizes; what they hold is checked by who restores.
std::vector<ListedCheckpoint> list_checkpoints(const std::filesystem::path& folder);
// The newest without a problem.
std::optional<std::filesystem::path> find_latest(const std::filesystem::path& folder);

// Writing one; by one rank of the job, and no other job writes into the folder. Throw InputError.

std::filesystem::path partial_checkpoint(const std::filesystem::path& folder, std::int64_t step);
// An empty folder for it; what killed runs left behind goes.
void begin_checkpoint(const std::filesystem::path& folder, std::int64_t step);
// Gives it its name, in place of an earlier one of that step. Then removes checkpoints of earlier
// steps, so that `keep` usable ones remain; those of later steps, to which a run went on before it
// was taken back, stay.
void commit_checkpoint(const std::filesystem::path& folder, std::int64_t step, int keep);

// Onto the disk, not only on its way there; folders too.
void sync_to_disk(const std::filesystem::path& path);

}  // namespace r1
