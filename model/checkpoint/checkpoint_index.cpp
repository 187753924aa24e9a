#include "model/checkpoint/checkpoint_index.hpp"

#include <string_view>

#include "model/base/json.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

// A shard is a plain file name: an index from elsewhere must not make us read other folders.
std::string shard_name_problem(std::string_view shard) {
    if (shard.find_first_of(std::string_view("/\\\0", 3)) != std::string_view::npos) {
        return "must be a file name without a folder";
    }
    return shard.size() > std::string_view(".safetensors").size() &&
                   shard.ends_with(".safetensors") && !shard.starts_with('.')
               ? ""
               : "is not the name of a .safetensors file";
}

CheckpointFiles read_index(const fs::path& file) {
    const Document document = Document::from_file(file);
    CheckpointFiles files{file.parent_path(), file, {}, {}};
    const Json* map = document.find("/weight_map");
    Diagnostics diagnostics;
    if (map == nullptr || !map->is_object() || map->empty()) {
        diagnostics.error(document.diagnostic(
            "/weight_map", "must be an object that gives the shard of each tensor"));
        diagnostics.throw_if_errors();
        return files;
    }
    for (const auto& [tensor, shard] : map->items()) {
        const std::string problem = shard.is_string()
                                        ? shard_name_problem(shard.get_ref<const std::string&>())
                                        : "is not a string";
        if (problem.empty()) {
            files.weight_map.emplace(tensor, shard.get<std::string>());
        } else {
            diagnostics.error(document.diagnostic(
                join_pointer("/weight_map", tensor),
                "shard " + quote(shard.is_string() ? shard.get<std::string>() : shard.dump()) +
                    " " + problem));
        }
    }
    diagnostics.throw_if_errors();
    return files;
}

}  // namespace

CheckpointFiles find_checkpoint_files(const fs::path& path) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
        throw InputError(path.string(), "no such checkpoint folder or file");
    }
    if (!fs::is_directory(path, ignored)) {
        if (path.extension() == ".json") {
            return read_index(path);
        }
        return {path.parent_path(), {}, path.filename().string(), {}};
    }
    if (fs::exists(path / kSingleFileName, ignored)) {
        return {path, {}, kSingleFileName, {}};
    }
    if (fs::exists(path / kIndexFileName, ignored)) {
        return read_index(path / kIndexFileName);
    }
    throw InputError(path.string(),
                     std::string("holds neither ") + kSingleFileName + " nor " + kIndexFileName);
}

}  // namespace r1
