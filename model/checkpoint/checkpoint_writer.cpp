// write_checkpoint and write_checkpoint_index.
#include <map>
#include <system_error>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/json.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/checkpoint/checkpoint_index.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

struct Shard {
    std::size_t begin;  // of the tensors
    std::size_t end;
};

std::vector<Shard> divide(std::span<const TensorView> tensors, std::int64_t bytes_max) {
    R1_CHECK(bytes_max > 0);
    std::vector<Shard> shards{{0, 0}};
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const std::uint64_t size = tensors[i].data.size();
        if (bytes > 0 && bytes + size > static_cast<std::uint64_t>(bytes_max)) {
            shards.push_back({i, i});
            bytes = 0;
        }
        bytes += size;
        shards.back().end = i + 1;
    }
    return shards;
}

}  // namespace

void write_checkpoint_index(const fs::path& folder,
                            const std::map<std::string, std::string>& weight_map,
                            std::uint64_t total_size) {
    // As Hugging Face writes it: sorted names, two spaces.
    const nlohmann::json index = {{"metadata", {{"total_size", total_size}}},
                                  {"weight_map", weight_map}};
    write_file_atomically(folder / kIndexFileName, index.dump(2) + "\n");
}

void write_checkpoint(const fs::path& folder, std::span<const TensorView> tensors,
                      std::int64_t shard_bytes_max, const Json* config) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) {
        throw InputError(folder.string(), "cannot be created (" + error.message() + ")");
    }
    const SafetensorsMetadata metadata{{"format", "pt"}};  // loaders of other programs ask for it
    const std::vector<Shard> shards = divide(tensors, shard_bytes_max);
    if (shards.size() == 1) {
        write_safetensors(folder / kSingleFileName, tensors, metadata);
        fs::remove(folder / kIndexFileName, error);
    } else {
        std::map<std::string, std::string> weight_map;
        std::uint64_t total_size = 0;
        for (std::size_t i = 0; i < shards.size(); ++i) {
            const std::string file =
                fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
            const auto part = tensors.subspan(shards[i].begin, shards[i].end - shards[i].begin);
            for (const TensorView& tensor : part) {
                R1_CHECK(weight_map.emplace(tensor.name, file).second);
                total_size += tensor.data.size();
            }
            write_safetensors(folder / file, part, metadata);
        }
        write_checkpoint_index(folder, weight_map, total_size);
        fs::remove(folder / kSingleFileName, error);
    }
    if (config) {
        write_file_atomically(folder / "config.json", config->dump(2) + "\n");
    }
}

}  // namespace r1
