// A golden file of cases/ with what the index says about it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/runtime/golden_compare.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/data_dir.hpp"
#include "tests/support/safetensors.hpp"

namespace r1::test {

class GoldenCase {
public:
    explicit GoldenCase(const std::filesystem::path& path) : file_(path) {
        std::ifstream stream(golden_dir() / "index.json");
        tensors_ = nlohmann::json::parse(stream)
                       .at("files")
                       .at("cases/" + path.filename().string())
                       .at("tensors");
    }

    [[nodiscard]] const SafeTensors& file() const { return file_; }
    [[nodiscard]] std::vector<float> values(const std::string& name) const {
        return file_.as_f32(name);
    }
    [[nodiscard]] float value(const std::string& name) const { return file_.as_f32(name).at(0); }
    [[nodiscard]] std::int64_t extent(const std::string& name, std::size_t axis) const {
        return file_.at(name).shape.at(axis);
    }

    // Within the tolerance of the index.
    void check(const std::string& name, const std::vector<float>& got) const {
        INFO(name);
        const auto& about = tensors_.at(name);
        compare_elements(got, values(name), about.at("atol"), about.at("rtol"));
    }
    void check(const std::string& name, double got) const {
        check(name, std::vector<float>{static_cast<float>(got)});
    }

private:
    SafeTensors file_;
    nlohmann::json tensors_;
};

}  // namespace r1::test
