#include "tests/support/data_dir.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>

#ifndef R1_SOURCE_DIR
#error "the build defines R1_SOURCE_DIR as the root of the source tree"
#endif

namespace r1::test {

namespace fs = std::filesystem;

fs::path data_dir() {
    const char* chosen = std::getenv("R1_DATA_DIR");
    if (chosen != nullptr && *chosen != '\0') {
        return chosen;
    }
    const fs::path root = R1_SOURCE_DIR;
    const fs::path shared = root.parent_path() / "shared";
    return fs::exists(shared / "golden") ? shared : root / "tests";
}

fs::path golden_dir() {
    const fs::path data = data_dir();
    return fs::exists(data / "index.json") ? data : data / "golden";
}

std::vector<fs::path> golden_entries(const std::string& folder) {
    std::vector<fs::path> entries;
    if (fs::is_directory(golden_dir() / folder)) {
        for (const auto& entry : fs::directory_iterator(golden_dir() / folder)) {
            entries.push_back(entry.path());
        }
    }
    std::sort(entries.begin(), entries.end());
    if (entries.empty()) {
        std::cout << "r1 test skipped: no " << folder << " in " << golden_dir() << "\n";
    }
    return entries;
}

}  // namespace r1::test
