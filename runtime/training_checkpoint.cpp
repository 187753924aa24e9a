#include "runtime/training_checkpoint.hpp"

#include <optional>
#include <set>
#include <system_error>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/checkpoint/checkpoint_index.hpp"
#include "runtime/checkpoint_folder.hpp"
#include "runtime/master_weights.hpp"
#include "runtime/optimizer_file.hpp"
#include "runtime/weight_export.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

constexpr const char* kOptimizerFolder = "optimizer";
constexpr const char* kConfigFile = "config.json";

std::string optimizer_file_name(int rank) {
    return fmt::format("{}/rank-{:05}.safetensors", kOptimizerFolder, rank);
}

// What a rank has written, told to the others.
struct Written {
    std::vector<CheckpointFile> files;
    std::map<std::string, std::string> weight_map;
    std::uint64_t weight_bytes = 0;

    [[nodiscard]] std::string text() const {
        Json json = {
            {"files", Json::array()}, {"weight_map", weight_map}, {"weight_bytes", weight_bytes}};
        for (const CheckpointFile& file : files) {
            json["files"].push_back(to_json(file));
        }
        return json.dump();
    }

    void add(const std::string& text) {
        const Json json = Json::parse(text);
        for (const Json& file : json["files"]) {
            files.push_back({file["name"], file["bytes"], file["checksum"]});
        }
        for (const auto& [tensor, file] : json["weight_map"].items()) {
            weight_map.emplace(tensor, file);
        }
        weight_bytes += json["weight_bytes"].get<std::uint64_t>();
    }
};

class Save {
public:
    Save(const SaveOptions& options, const TrainerState& trainer, RankState& state,
         const Everyone& ranks)
        : options_(options),
          trainer_(trainer),
          state_(state),
          ranks_(ranks),
          partial_(partial_checkpoint(options.folder, trainer.step)) {
        Diagnostics diagnostics;
        config_ =
            read_model_config(Document::from_json(options.config, kConfigFile), "", diagnostics);
        diagnostics.throw_if_errors();
    }

    void run() {
        const std::vector<std::string> exportable = agree(ranks_, [&] {
            if (is_first()) {
                begin_checkpoint(options_.folder, trainer_.step);
                create_optimizer_folder();
            }
            return exportable_tensors(state_);
        });
        try {
            const std::map<std::string, int> writers = tensor_writers(exportable);
            const std::vector<ExportedTensor> weights =
                export_tensors(state_, {config_, writers, options_.f32_weights}, ranks_);
            const std::vector<std::string> written = agree(
                ranks_, [&] { return write_files(weights, weight_file_name(writers)).text(); });
            agree(ranks_, [&] {
                if (is_first()) {
                    finish(written);
                }
                return "";
            });
        } catch (const InputError&) {
            if (is_first()) {  // all ranks have stopped writing
                std::error_code ignored;
                fs::remove_all(partial_, ignored);
            }
            throw;
        }
    }

private:
    [[nodiscard]] bool is_first() const { return ranks_.communicator.rank() == 0; }

    void create_optimizer_folder() const {
        std::error_code error;
        fs::create_directory(partial_ / kOptimizerFolder, error);
        if (error) {
            throw InputError((partial_ / kOptimizerFolder).string(),
                             "cannot be created (" + error.message() + ")");
        }
    }

    // Ranks that write weights are counted, from 1.
    [[nodiscard]] std::string weight_file_name(const std::map<std::string, int>& writers) const {
        std::set<int> writing;
        for (const auto& [name, rank] : writers) {
            writing.insert(rank);
        }
        const auto own = writing.find(ranks_.communicator.rank());
        return own == writing.end()
                   ? ""
                   : fmt::format("model-{:05}-of-{:05}.safetensors",
                                 std::distance(writing.begin(), own) + 1, writing.size());
    }

    [[nodiscard]] Written write_files(const std::vector<ExportedTensor>& weights,
                                      const std::string& weight_file) const {
        Written written;
        const std::string optimizer_file = optimizer_file_name(ranks_.communicator.rank());
        write_optimizer_file(partial_ / optimizer_file, state_);
        written.files.push_back(synced(optimizer_file));
        if (weight_file.empty()) {
            return written;
        }
        std::vector<TensorView> views;
        for (const ExportedTensor& tensor : weights) {
            views.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.data});
            written.weight_map.emplace(tensor.name, weight_file);
            written.weight_bytes += tensor.data.size();
        }
        write_safetensors(partial_ / weight_file, views, {{"format", "pt"}});
        written.files.push_back(synced(weight_file));
        return written;
    }

    // The checksum is that of the bytes that a reader gets.
    [[nodiscard]] CheckpointFile synced(const std::string& name) const {
        sync_to_disk(partial_ / name);
        return describe_file(partial_, name);
    }

    void finish(const std::vector<std::string>& by_rank) const {
        Written all;
        for (const std::string& text : by_rank) {
            all.add(text);
        }
        for (const CheckpointFile& file : all.files) {
            check_size(partial_, file);  // fails where ranks do not share the file system
        }
        write_file_atomically(partial_ / kConfigFile, options_.config.dump(2) + "\n");
        write_checkpoint_index(partial_, all.weight_map, all.weight_bytes);
        for (const char* name : {kConfigFile, kIndexFileName}) {
            all.files.push_back(synced(name));
        }
        write_trainer_document(partial_, {trainer_, ranks_.communicator.ranks(), all.files});
        sync_to_disk(partial_ / kTrainerFileName);
        sync_to_disk(partial_ / kOptimizerFolder);
        commit_checkpoint(options_.folder, trainer_.step, options_.keep);
    }

    const SaveOptions& options_;
    const TrainerState& trainer_;
    RankState& state_;
    const Everyone& ranks_;
    const fs::path partial_;
    ModelConfig config_;
};

void check_fits(const TrainerDocument& document, const fs::path& checkpoint,
                const std::string& graph_hash, int ranks) {
    std::string problem;
    if (document.ranks != ranks) {
        problem = fmt::format("is of {} ranks, this job has {}", document.ranks, ranks);
    } else if (document.state.graph_hash != graph_hash) {
        problem = fmt::format("is of the graph {}, this job's graph is {}",
                              document.state.graph_hash, graph_hash);
    } else {
        return;
    }
    throw InputError(checkpoint.string(), problem +
                                              "; a fresh start from its weights is possible, with "
                                              "workload.initial_checkpoint");
}

// Each file is read by one rank: a rank's own by itself.
void check_files(const TrainerDocument& document, const fs::path& checkpoint, int rank) {
    bool has_own = false;
    std::size_t index = 0;
    for (const CheckpointFile& file : document.files) {
        const bool is_optimizer = file.name.starts_with(kOptimizerFolder);
        const bool is_own = file.name == optimizer_file_name(rank);
        const auto dealt_to = static_cast<int>(index++ % static_cast<std::size_t>(document.ranks));
        if (is_own || (!is_optimizer && dealt_to == rank)) {
            check_content(checkpoint, file);
        }
        has_own = has_own || is_own;
    }
    if (!has_own) {
        throw InputError((checkpoint / kTrainerFileName).string(),
                         fmt::format("names no {}", optimizer_file_name(rank)));
    }
}

}  // namespace

void save_training_checkpoint(const SaveOptions& options, const TrainerState& trainer,
                              RankState& state, const Everyone& ranks) {
    // Before the first step, parameters may be made of values that no master weight has.
    R1_CHECK(trainer.step >= 1);
    Save(options, trainer, state, ranks).run();
}

TrainerState restore_training_checkpoint(const fs::path& checkpoint, const std::string& graph_hash,
                                         RankState& state, const Everyone& ranks) {
    const int rank = ranks.communicator.rank();
    TrainerState trainer;
    std::optional<OptimizerFile> own;
    agree(ranks, [&] {
        TrainerDocument document = read_trainer_document(checkpoint);
        check_fits(document, checkpoint, graph_hash, ranks.communicator.ranks());
        check_files(document, checkpoint, rank);
        own.emplace(checkpoint / optimizer_file_name(rank), state);
        trainer = std::move(document.state);
        return "";
    });
    own->restore();
    for (const StateShard* shard : ordered_shards(state)) {
        std::vector<float> flat = gather_master(*shard, ranks);
        round_to_compute(state.policy(), flat);
        state.store(*shard, flat);
    }
    return trainer;
}

RankState::Source checkpoint_parameters(const Checkpoint& checkpoint) {
    return [&checkpoint](const std::string& name, std::size_t elements) {
        std::vector<float> values = checkpoint.f32(name);
        checkpoint.release(name);
        if (values.size() != elements) {
            throw InputError(checkpoint.file_of(name),
                             fmt::format("tensor {} has {} values, the model calls for {}",
                                         quote(name), values.size(), elements));
        }
        return values;
    };
}

}  // namespace r1
