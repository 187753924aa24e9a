// Chakra traces of a folder (declared in job.hpp).
#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/chakra/job.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

// Of NAME.RANK.et.
struct TraceName {
    std::string name;
    std::uint32_t rank = 0;
};

std::optional<TraceName> trace_name(const fs::path& file) {
    const std::string stem = file.stem().string();
    const std::size_t dot = stem.rfind('.');
    if (file.extension() != ".et" || dot == std::string::npos) {
        return {};
    }
    TraceName result{stem.substr(0, dot), 0};
    const char* end = stem.data() + stem.size();
    const auto parsed = std::from_chars(stem.data() + dot + 1, end, result.rank);
    return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(result) : std::nullopt;
}

std::map<std::uint32_t, fs::path> files_by_rank(const fs::path& folder) {
    std::map<std::uint32_t, fs::path> files;
    std::optional<std::string> name;
    std::error_code error;
    const fs::directory_iterator entries(folder, error);
    if (error) {
        throw InputError(folder.string(), "cannot be read (" + error.message() + ")");
    }
    for (const fs::directory_entry& entry : entries) {
        const std::optional<TraceName> found = trace_name(entry.path());
        if (!found) {
            continue;
        }
        if (name && *name != found->name) {
            const auto& [first, second] = std::minmax(*name, found->name);
            throw InputError(
                folder.string(),
                fmt::format("holds traces of two jobs: {}.*.et and {}.*.et", first, second));
        }
        name = found->name;
        if (!files.try_emplace(found->rank, entry.path()).second) {
            throw InputError(folder.string(),
                             fmt::format("holds two traces of rank {}", found->rank));
        }
    }
    return files;
}

}  // namespace

ChakraJob read_chakra_job(const fs::path& path) {
    const auto read = [](const fs::path& file) {
        return ChakraFile{file.string(), read_chakra(read_file(file), file.string())};
    };
    std::error_code error;
    if (!fs::is_directory(path, error)) {
        return chakra_job(1, [&](std::uint32_t) { return read(path); });
    }
    const std::map<std::uint32_t, fs::path> files = files_by_rank(path);
    if (files.empty()) {
        throw InputError(path.string(), "holds no Chakra traces (NAME.RANK.et)");
    }
    const auto count = static_cast<std::uint32_t>(files.size());
    const std::uint32_t last = files.rbegin()->first;
    for (std::uint32_t rank = 0; rank < count; ++rank) {
        if (!files.contains(rank)) {
            throw InputError(
                path.string(),
                fmt::format("lacks the trace of rank {}, but has that of rank {}", rank, last));
        }
    }
    return chakra_job(count, [&](std::uint32_t rank) { return read(files.at(rank)); });
}

}  // namespace r1
