#include "sim/hardware/presets.hpp"

#include <algorithm>
#include <system_error>

#include "model/base/diagnostics.hpp"

#ifndef R1_SOURCE_DIR
#define R1_SOURCE_DIR "."
#endif

namespace r1 {
namespace {

std::filesystem::path& root_slot() {
    static std::filesystem::path root = R1_SOURCE_DIR;
    return root;
}

bool ends_with(const std::string& text, const std::string& suffix) {
    return text.size() >= suffix.size() &&
           text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

}  // namespace

std::filesystem::path data_root() { return root_slot(); }

void set_data_root(std::filesystem::path root) { root_slot() = std::move(root); }

std::vector<std::string> preset_names(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entries(data_root() / folder, error);
    if (error) return names;
    for (const auto& entry : entries) {
        const std::string file = entry.path().filename().string();
        if (!ends_with(file, ".json") || ends_with(file, ".schema.json")) continue;
        names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::filesystem::path find_data_file(const std::string& name, const std::string& folder,
                                     const std::filesystem::path& base) {
    if (name.find('/') != std::string::npos || ends_with(name, ".json")) {
        const std::filesystem::path path(name);
        return path.is_absolute() ? path : base / path;  // reading it reports a missing file
    }
    const std::vector<std::string> names = preset_names(folder);
    if (std::find(names.begin(), names.end(), name) != names.end()) {
        return data_root() / folder / (name + ".json");
    }
    throw InputError(name, "no file and no preset of " + folder + did_you_mean(name, names));
}

}  // namespace r1
