// Which files a checkpoint consists of: a single file, or shards with an index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace r1 {

inline constexpr const char* kSingleFileName = "model.safetensors";
inline constexpr const char* kIndexFileName = "model.safetensors.index.json";

struct CheckpointFiles {
    std::filesystem::path folder;
    std::filesystem::path index;                    // empty: a single file
    std::string single_file;                        // empty: shards
    std::map<std::string, std::string> weight_map;  // tensor name -> shard, a name in `folder`
};

// `path` is a checkpoint folder, a .safetensors file or an index. Of a folder that holds both, the
// single file counts, as in Hugging Face's library. Throws InputError.
CheckpointFiles find_checkpoint_files(const std::filesystem::path& path);

// Writes the index of shards that are in `folder`. total_size: bytes of all tensors. Throws
// InputError.
void write_checkpoint_index(const std::filesystem::path& folder,
                            const std::map<std::string, std::string>& weight_map,
                            std::uint64_t total_size);

}  // namespace r1
