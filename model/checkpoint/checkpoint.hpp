// A Hugging Face checkpoint: config.json and the weights, in one safetensors file or in shards.
// Opening maps the files and checks all names, shapes and types against the config; values are
// looked at when they are converted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "model/checkpoint/convert.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/config/model_config.hpp"

namespace r1 {

class ProblemList;
struct CheckpointFiles;

class Checkpoint {
public:
    // A folder, a .safetensors file or an index; config.json lies in the same folder. Throws
    // InputError with all problems: missing, unknown and wrongly shaped tensors, FP8 weights
    // without scale, copies that differ, shards that do not agree with the index.
    static Checkpoint open(const std::filesystem::path& path);
    // With another config than the folder's.
    static Checkpoint open(const std::filesystem::path& path, ModelConfig config);

    [[nodiscard]] const ModelConfig& config() const { return config_; }
    // Keys of the config that were ignored, for --verbose.
    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

    // Every tensor of parameter_inventory(config) is found, and "lm_head.weight" always: the MTP
    // layer's copies and a tied head lead to the tensors that they equal. nullptr for other names.
    [[nodiscard]] const TensorView* find(std::string_view name) const;
    [[nodiscard]] const TensorView& at(std::string_view name) const;  // throws InputError
    // The scale of an FP8 weight, wherever it lies; nullptr for other tensors.
    [[nodiscard]] const TensorView* scale_of(std::string_view name) const;
    // The file that holds a tensor, for messages; the folder if there is no such tensor.
    [[nodiscard]] std::string file_of(std::string_view name) const;

    // The values, FP8 weights dequantised. Throws InputError, naming tensor and file, if one is
    // NaN or infinite: no trained weight is, but damaged ones are.
    [[nodiscard]] std::vector<float> f32(std::string_view name) const;
    void f32(std::string_view name, std::span<float> out) const;

    // The tensor has been read: its pages need not stay in memory. It can be read again.
    void release(std::string_view name) const;

private:
    struct Entry {
        const TensorView* tensor;
        const SafetensorsFile* file;
    };

    Checkpoint(std::filesystem::path origin, ModelConfig config);
    void open_files(const std::filesystem::path& path);
    void add_file(const std::filesystem::path& file, ProblemList& problems);
    void add_shards(const CheckpointFiles& files, ProblemList& problems);
    [[nodiscard]] const Entry* entry(std::string_view name) const;
    // The name under which the tensor is stored.
    [[nodiscard]] std::string_view stored_name(std::string_view name) const;

    std::filesystem::path origin_;  // the index, the single file or the folder
    ModelConfig config_;
    std::vector<std::string> notes_;
    std::vector<std::unique_ptr<SafetensorsFile>> files_;
    std::map<std::string_view, Entry> entries_;  // names lie in the files' views
};

inline constexpr std::int64_t kShardBytes = 5'000'000'000;  // Hugging Face's default

// Writes tensors in the given order into a folder, created if need be: model.safetensors if they
// fit into one shard, else model-00001-of-0000N.safetensors and the index, which comes last. A
// tensor larger than a shard gets one of its own. The other form of an earlier checkpoint in the
// folder is removed. config.json is written if given. Throws InputError.
void write_checkpoint(const std::filesystem::path& folder, std::span<const TensorView> tensors,
                      std::int64_t shard_bytes_max = kShardBytes, const Json* config = nullptr);

}  // namespace r1
