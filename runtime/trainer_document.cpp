#include "runtime/trainer_document.hpp"

#include <system_error>

#include <fmt/format.h>

#include "model/checkpoint/checksum.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

constexpr const char* kChecksum = "checksum";  // of all other keys

std::uint64_t size_of_file(const fs::path& file) {
    std::error_code error;
    const std::uintmax_t size = fs::file_size(file, error);
    if (error) {
        throw InputError(file.string(), "cannot be read (" + error.message() + ")");
    }
    return size;
}

// A damaged or foreign document must not make us read other folders.
bool is_inside(const fs::path& name) {
    return !name.empty() && name.is_relative() && *name.lexically_normal().begin() != "..";
}

void check_itself(const Document& document, Diagnostics& diagnostics) {
    Json others = document.root();
    const Json* own = document.find(std::string("/") + kChecksum);
    if (own == nullptr || !others.is_object()) {
        return;  // the reader says so
    }
    others.erase(kChecksum);
    if (*own != Json(checksum(others.dump()))) {
        diagnostics.error(document.diagnostic(std::string("/") + kChecksum,
                                              "does not match the document, which is damaged"));
    }
}

CheckpointFile read_checkpoint_file(const Document& document, const std::string& pointer,
                                    Diagnostics& diagnostics) {
    ObjectReader reader(document, pointer, diagnostics);
    CheckpointFile file;
    std::int64_t bytes = 0;
    reader.required("name", file.name);
    reader.required("bytes", bytes, kNotNegative);
    reader.required(kChecksum, file.checksum);
    reader.finish();
    file.bytes = static_cast<std::uint64_t>(bytes);
    if (!is_inside(file.name)) {
        reader.error("name", "must be a path within the checkpoint");
    }
    return file;
}

}  // namespace

Json to_json(const CheckpointFile& file) {
    return {{"name", file.name}, {"bytes", file.bytes}, {kChecksum, file.checksum}};
}

void write_trainer_document(const fs::path& checkpoint, const TrainerDocument& document) {
    Json json = {{"schema", "r1sim.trainer_state/1"},     {"step", document.state.step},
                 {"seed", document.state.seed},           {"graph_hash", document.state.graph_hash},
                 {"data_hash", document.state.data_hash}, {"ranks", document.ranks},
                 {"progress", document.state.progress},   {"files", Json::array()}};
    for (const CheckpointFile& file : document.files) {
        json["files"].push_back(to_json(file));
    }
    json[kChecksum] = checksum(json.dump());
    write_file_atomically(checkpoint / kTrainerFileName, json.dump(2) + "\n");
}

TrainerDocument read_trainer_document(const fs::path& checkpoint) {
    const Document document = Document::from_file(checkpoint / kTrainerFileName);
    Diagnostics diagnostics;
    check_itself(document, diagnostics);
    TrainerDocument result;
    ObjectReader reader(document, "", diagnostics);
    std::string own_checksum;
    reader.accept_header("trainer_state");
    reader.required("step", result.state.step, kNotNegative);
    reader.required("graph_hash", result.state.graph_hash);
    reader.required("data_hash", result.state.data_hash);
    reader.required("ranks", result.ranks, kAtLeastOne);
    reader.required(kChecksum, own_checksum);
    // The reader's integers end at 2^63, seeds at 2^64.
    if (const Json* seed = reader.raw("seed"); seed != nullptr && seed->is_number_unsigned()) {
        result.state.seed = seed->get<std::uint64_t>();
    } else {
        reader.error("seed", "must be an integer that is not negative");
    }
    if (const Json* progress = reader.raw("progress"); progress != nullptr) {
        result.state.progress = *progress;
    }
    const Json* files = reader.raw("files");
    if (files == nullptr || !files->is_array()) {
        reader.error("files", "must be an array");
    } else {
        for (std::size_t i = 0; i < files->size(); ++i) {
            result.files.push_back(
                read_checkpoint_file(document, fmt::format("/files/{}", i), diagnostics));
        }
    }
    reader.finish();
    diagnostics.throw_if_errors();
    return result;
}

CheckpointFile describe_file(const fs::path& checkpoint, const std::string& name) {
    const fs::path file = checkpoint / name;
    return {name, size_of_file(file), file_checksum(file)};
}

void check_size(const fs::path& checkpoint, const CheckpointFile& file) {
    const std::uint64_t size = size_of_file(checkpoint / file.name);
    if (size != file.bytes) {
        throw InputError(
            (checkpoint / file.name).string(),
            fmt::format("has {} bytes, but {} were written: it is damaged", size, file.bytes));
    }
}

void check_content(const fs::path& checkpoint, const CheckpointFile& file) {
    check_size(checkpoint, file);
    if (file_checksum(checkpoint / file.name) != file.checksum) {
        throw InputError((checkpoint / file.name).string(),
                         "does not hold what was written: its checksum differs");
    }
}

}  // namespace r1
