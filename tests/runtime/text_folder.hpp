// A folder of files for tests of what is trained on; gone afterwards.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <unistd.h>

#include "model/base/json.hpp"

namespace r1::test {

class TextFolder {
public:
    TextFolder()
        : path_(std::filesystem::temp_directory_path() /
                ("r1_texts_" + std::to_string(::getpid()))) {
        std::filesystem::remove_all(path_);
        std::filesystem::create_directories(path_);
    }
    ~TextFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TextFolder(const TextFolder&) = delete;
    TextFolder& operator=(const TextFolder&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
        return path_ / name;
    }
    void put(const std::string& name, std::string_view content) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        write_file_atomically(path_ / name, content);
    }

private:
    std::filesystem::path path_;
};

}  // namespace r1::test
