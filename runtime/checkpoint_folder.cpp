#include "runtime/checkpoint_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/trainer_document.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kPartialPrefix = ".step-";
constexpr std::string_view kPartialSuffix = ".partial";

fs::path complete_checkpoint(const fs::path& folder, std::int64_t step) {
    return folder / fmt::format("{}{:08}", kPrefix, step);
}

std::optional<std::int64_t> step_of(const std::string& name) {
    std::int64_t step = 0;
    const char* begin = name.data() + kPrefix.size();
    const char* end = name.data() + name.size();
    if (!name.starts_with(kPrefix) || begin == end) {
        return std::nullopt;
    }
    const auto [rest, error] = std::from_chars(begin, end, step);
    return error == std::errc() && rest == end && step >= 0 ? std::optional(step) : std::nullopt;
}

[[noreturn]] void fail(const fs::path& path, const char* what, const std::error_code& error) {
    throw InputError(path.string(), fmt::format("{} ({})", what, error.message()));
}

std::error_code last_error() { return {errno, std::generic_category()}; }

// Names in the folder; none if it does not exist.
std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
        names.push_back(entry->path().filename().string());
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        fail(folder, "cannot be read", error);
    }
    return names;
}

std::string problem_of(const fs::path& checkpoint, std::int64_t step) {
    try {
        const TrainerDocument document = read_trainer_document(checkpoint);
        if (document.state.step != step) {
            return fmt::format("it holds step {}", document.state.step);
        }
        for (const CheckpointFile& file : document.files) {
            check_size(checkpoint, file);
        }
    } catch (const InputError& error) {
        return render(error.diagnostics().front());
    }
    return "";
}

// A name that is taken is exchanged in one go where the file system can; else there is a moment in
// which neither has it.
void take_name(const fs::path& partial, const fs::path& complete) {
    std::error_code error;
    if (fs::exists(complete, error)) {
        if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, complete.c_str(), RENAME_EXCHANGE) ==
            0) {
            return;
        }
        fs::path aside = partial;
        aside.replace_extension(".old" + std::string(kPartialSuffix));
        fs::rename(complete, aside, error);
        if (error) {
            fail(complete, "cannot be replaced", error);
        }
    }
    fs::rename(partial, complete, error);
    if (error) {
        fail(complete, "cannot be written", error);
    }
}

// A folder that is half gone must not look like a checkpoint. What cannot be removed now is
// removed with the leftovers of the next time.
void remove_checkpoint(const fs::path& path) {
    fs::path leftover = path.parent_path() / ("." + path.filename().string());
    leftover += kPartialSuffix;
    std::error_code ignored;
    fs::rename(path, leftover, ignored);
    fs::remove_all(leftover, ignored);
}

void remove_leftovers(const fs::path& folder) {
    for (const std::string& name : names_in(folder)) {
        if (name.starts_with(kPartialPrefix) && name.ends_with(kPartialSuffix)) {
            std::error_code error;
            fs::remove_all(folder / name, error);
            if (error) {
                fail(folder / name, "is left over, and cannot be removed", error);
            }
        }
    }
}

}  // namespace

std::vector<ListedCheckpoint> list_checkpoints(const fs::path& folder) {
    std::vector<ListedCheckpoint> found;
    for (const std::string& name : names_in(folder)) {
        if (const std::optional<std::int64_t> step = step_of(name)) {
            found.push_back({folder / name, *step, problem_of(folder / name, *step)});
        }
    }
    std::sort(found.begin(), found.end(),
              [](const ListedCheckpoint& a, const ListedCheckpoint& b) { return a.step > b.step; });
    return found;
}

std::optional<fs::path> find_latest(const fs::path& folder) {
    for (const ListedCheckpoint& checkpoint : list_checkpoints(folder)) {
        if (checkpoint.problem.empty()) {
            return checkpoint.path;
        }
    }
    return std::nullopt;
}

fs::path partial_checkpoint(const fs::path& folder, std::int64_t step) {
    return folder / fmt::format("{}{:08}{}", kPartialPrefix, step, kPartialSuffix);
}

void begin_checkpoint(const fs::path& folder, std::int64_t step) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (!error) {
        remove_leftovers(folder);
        fs::create_directory(partial_checkpoint(folder, step), error);
    }
    if (error) {
        fail(folder, "cannot be created", error);
    }
}

void commit_checkpoint(const fs::path& folder, std::int64_t step, int keep) {
    R1_CHECK(keep >= 1);
    const fs::path partial = partial_checkpoint(folder, step);
    sync_to_disk(partial);
    take_name(partial, complete_checkpoint(folder, step));
    sync_to_disk(folder);
    std::error_code ignored;
    fs::remove_all(partial, ignored);  // the earlier one of that step
    int usable = 0;
    for (const ListedCheckpoint& checkpoint : list_checkpoints(folder)) {
        if (checkpoint.step > step) {
            continue;
        }
        if (usable >= keep) {
            remove_checkpoint(checkpoint.path);
        }
        usable += checkpoint.problem.empty() ? 1 : 0;
    }
}

void sync_to_disk(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        fail(path, "cannot be written", last_error());
    }
    const int result = ::fsync(descriptor);
    const std::error_code error = last_error();
    ::close(descriptor);
    if (result != 0 && error != std::errc::invalid_argument) {  // some file systems sync no folders
        fail(path, "cannot be written", error);
    }
}

}  // namespace r1
