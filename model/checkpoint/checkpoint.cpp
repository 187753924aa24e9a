#include "model/checkpoint/checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "model/base/check.hpp"
#include "model/base/json.hpp"
#include "model/checkpoint/checkpoint_check.hpp"
#include "model/checkpoint/checkpoint_index.hpp"
#include "model/checkpoint/mapped_file.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kEmbedding = "model.embed_tokens.weight";
constexpr std::string_view kHead = "lm_head.weight";

// The FP8 format is part of our arithmetic; a config that asks for another must not pass for ours.
void check_fp8_format(const Document& document, Diagnostics& diagnostics) {
    const auto check = [&](const char* key, const Json& supported) {
        const std::string pointer = std::string("/quantization_config/") + key;
        const Json* found = document.find(pointer);
        if (found != nullptr && *found != supported) {
            diagnostics.error(document.diagnostic(
                pointer, "only " + supported.dump() + " is supported, found " + found->dump()));
        }
    };
    check("weight_block_size", Json{kScaleBlock, kScaleBlock});
    check("fmt", "e4m3");
    check("activation_scheme", "dynamic");
    const Json* scale_format = document.find("/quantization_config/scale_fmt");
    if (scale_format != nullptr && *scale_format != Json("float")) {
        diagnostics.note("scale_fmt " + scale_format->dump() +
                         " is left out: scales of activations are not rounded");
    }
}

ModelConfig read_config_of(const fs::path& path, std::vector<std::string>& notes) {
    std::error_code ignored;
    const fs::path folder = fs::is_directory(path, ignored) ? path : path.parent_path();
    const Document document = Document::from_file(folder / "config.json");
    Diagnostics diagnostics;
    ModelConfig config = read_model_config(document, "", diagnostics);
    if (config.fp8_weights) {
        check_fp8_format(document, diagnostics);
    }
    diagnostics.throw_if_errors();
    notes = diagnostics.notes();
    return config;
}

// "[3, 5]" of the index-th value.
std::string position_text(const std::vector<std::int64_t>& shape, std::size_t index) {
    std::vector<std::int64_t> position(shape.size());
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        const auto size = static_cast<std::size_t>(shape[axis]);
        position[axis] = static_cast<std::int64_t>(index % size);
        index /= size;
    }
    return shape_text(position);
}

}  // namespace

Checkpoint::Checkpoint(fs::path origin, ModelConfig config)
    : origin_(std::move(origin)), config_(std::move(config)) {}

Checkpoint Checkpoint::open(const fs::path& path) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
        throw InputError(path.string(), "no such checkpoint folder or file");
    }
    // Who names the config means its folder.
    const fs::path origin = path.filename() == "config.json" ? path.parent_path() : path;
    std::vector<std::string> notes;
    Checkpoint checkpoint =
        open(origin.empty() ? fs::path(".") : origin, read_config_of(path, notes));
    checkpoint.notes_ = std::move(notes);
    return checkpoint;
}

Checkpoint Checkpoint::open(const fs::path& path, ModelConfig config) {
    Checkpoint checkpoint(path, std::move(config));
    checkpoint.open_files(path);
    std::vector<StoredTensor> stored;
    stored.reserve(checkpoint.entries_.size());
    for (const auto& [name, entry] : checkpoint.entries_) {
        stored.push_back({entry.tensor, entry.file->path().string()});
    }
    check_tensors(checkpoint.config_, stored, checkpoint.origin_.string());
    return checkpoint;
}

void Checkpoint::open_files(const fs::path& path) {
    const CheckpointFiles files = find_checkpoint_files(path);
    ProblemList problems;
    if (!files.single_file.empty()) {
        origin_ = files.folder / files.single_file;
        add_file(origin_, problems);
    } else {
        origin_ = files.index;
        add_shards(files, problems);
    }
    problems.throw_if_any();
}

void Checkpoint::add_file(const fs::path& path, ProblemList& problems) {
    try {
        files_.push_back(std::make_unique<SafetensorsFile>(path));
    } catch (const InputError& error) {
        problems.add(error);
        return;
    }
    const SafetensorsFile& file = *files_.back();
    for (const TensorView& tensor : file.tensors()) {
        const auto [place, is_new] = entries_.emplace(tensor.name, Entry{&tensor, &file});
        if (!is_new) {
            problems.add(path.string(), "tensor " + quote(tensor.name) + " lies also in " +
                                            place->second.file->path().string());
        }
    }
}

void Checkpoint::add_shards(const CheckpointFiles& files, ProblemList& problems) {
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : files.weight_map) {
        shards.insert(shard);
    }
    std::set<fs::path> readable;
    for (const std::string& shard : shards) {
        const std::size_t before = files_.size();
        add_file(files.folder / shard, problems);
        if (files_.size() > before) {
            readable.insert(files.folder / shard);
        }
    }
    for (const auto& [tensor, shard] : files.weight_map) {
        const fs::path path = files.folder / shard;
        const Entry* found = entry(tensor);
        if (readable.contains(path) && (found == nullptr || found->file->path() != path)) {
            problems.add(path.string(), "has no tensor " + quote(tensor) + ", though " +
                                            files.index.filename().string() + " puts it there");
        }
    }
    for (const auto& [name, entry] : entries_) {
        if (!files.weight_map.contains(std::string(name))) {
            problems.add(entry.file->path().string(),
                         "tensor " + quote(name) + " is not in " + files.index.filename().string());
        }
    }
}

const Checkpoint::Entry* Checkpoint::entry(std::string_view name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
}

std::string_view Checkpoint::stored_name(std::string_view name) const {
    if (config_.num_nextn_predict_layers > 0 && name.starts_with("model.layers.")) {
        if (name.ends_with(".embed_tokens.weight")) {
            return kEmbedding;
        }
        if (name.ends_with(".shared_head.head.weight")) {
            return stored_name(kHead);
        }
    }
    return name == kHead && config_.tie_word_embeddings ? kEmbedding : name;
}

const TensorView* Checkpoint::find(std::string_view name) const {
    const Entry* found = entry(stored_name(name));
    return found == nullptr ? nullptr : found->tensor;
}

const TensorView& Checkpoint::at(std::string_view name) const {
    const TensorView* found = find(name);
    if (found == nullptr) {
        throw InputError(origin_.string(), "has no tensor " + quote(name));
    }
    return *found;
}

const TensorView* Checkpoint::scale_of(std::string_view name) const {
    const Entry* found = entry(scale_name(stored_name(name)));
    return found == nullptr ? nullptr : found->tensor;
}

std::string Checkpoint::file_of(std::string_view name) const {
    const Entry* found = entry(stored_name(name));
    return found == nullptr ? origin_.string() : found->file->path().string();
}

void Checkpoint::f32(std::string_view name, std::span<float> out) const {
    const TensorView& tensor = at(name);
    if (const TensorView* scale = scale_of(name); scale != nullptr) {
        dequantize_to_f32(tensor, *scale, out);
    } else {
        to_f32(tensor, out);
    }
    const auto bad =
        std::find_if(out.begin(), out.end(), [](float value) { return !std::isfinite(value); });
    if (bad != out.end()) {
        const auto index = static_cast<std::size_t>(bad - out.begin());
        throw InputError(file_of(name), "tensor " + quote(tensor.name) + ": the value at " +
                                            position_text(tensor.shape, index) +
                                            " is not finite; the file is damaged");
    }
}

void Checkpoint::release(std::string_view name) const { release_pages(at(name).data); }

std::vector<float> Checkpoint::f32(std::string_view name) const {
    std::vector<float> out(static_cast<std::size_t>(at(name).count()));
    f32(name, out);
    return out;
}

}  // namespace r1
