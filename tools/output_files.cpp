#include "tools/output_files.hpp"

#include <unistd.h>

#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"
#include "model/base/json.hpp"

namespace r1 {

namespace {

namespace fs = std::filesystem;

void require_writable(const fs::path& file, const std::string& option) {
    if (file.empty()) {
        throw InputError("--" + option, "needs the name of a file");
    }
    std::error_code ignored;
    const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
    if (fs::is_directory(file, ignored)) {
        throw InputError(file.string(), "is a folder, not a file");
    }
    if (!is_stream(file) &&
        (!fs::is_directory(folder, ignored) || ::access(folder.c_str(), W_OK) != 0)) {
        throw InputError(file.string(), "cannot be written: " + folder.string() +
                                            " is no folder that can be written to");
    }
}

// The same for all names of a file, links included.
std::string canonical_name(const fs::path& file) {
    std::error_code error;
    const fs::path name = fs::weakly_canonical(fs::absolute(file, error), error);
    return error ? file.string() : name.string();
}

}  // namespace

void check_output_files(const Command& command, const Invocation& invocation) {
    std::vector<std::string> outputs = {"output"};
    outputs.insert(outputs.end(), command.outputs.begin(), command.outputs.end());
    std::map<std::string, std::string> option_of;  // by canonical name
    for (const std::string& option : outputs) {
        if (!invocation.has(option)) {
            continue;
        }
        const std::string file = invocation.text(option);
        require_writable(file, option);
        if (is_stream(file)) {
            continue;  // several may write to it, one after the other
        }
        const auto [other, is_new] = option_of.emplace(canonical_name(file), option);
        if (!is_new) {
            throw UsageError(fmt::format("two outputs go to one file: --{} and --{} to {}",
                                         other->second, option, quote(file)));
        }
    }
    std::vector<std::string> inputs = command.inputs;
    if (command.choices.empty()) {
        inputs.push_back(command.positional);
    }
    for (const std::string& option : inputs) {
        for (const std::string& file : invocation.texts(option)) {
            if (const auto output = option_of.find(canonical_name(file));
                output != option_of.end()) {
                throw UsageError(fmt::format("--{} would write over {}, which is read",
                                             output->second, quote(file)));
            }
        }
    }
}

}  // namespace r1
