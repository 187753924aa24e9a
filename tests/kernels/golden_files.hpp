// Which golden files a test has to run: by a pattern of the path, so that another set of the same
// layout runs unchanged.
#pragma once

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "tests/support/data_dir.hpp"

namespace r1::test {

// cases/<prefix>*.safetensors. None: the test says that it was skipped.
inline std::vector<std::filesystem::path> golden_cases(const std::string& prefix) {
    std::vector<std::filesystem::path> files;
    const std::filesystem::path folder = golden_dir() / "cases";
    if (std::filesystem::is_directory(folder)) {
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            const std::string name = entry.path().filename().string();
            if (name.rfind(prefix, 0) == 0 && entry.path().extension() == ".safetensors") {
                files.push_back(entry.path());
            }
        }
    }
    std::sort(files.begin(), files.end());
    if (files.empty()) {
        std::cout << "r1 test skipped: no cases/" << prefix << "*.safetensors\n";
    }
    return files;
}

}  // namespace r1::test
