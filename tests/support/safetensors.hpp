// A small reader of safetensors files for tests, independent of the program's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace r1::test {

struct Tensor {
    std::string dtype;  // "F32", "BF16", "F8_E4M3", "I32", "U8", ...
    std::vector<std::int64_t> shape;
    std::vector<std::uint8_t> bytes;
};

class SafeTensors {
public:
    // Throws std::runtime_error if the file is missing or malformed.
    explicit SafeTensors(const std::filesystem::path& file);

    [[nodiscard]] const std::map<std::string, Tensor>& tensors() const { return tensors_; }
    [[nodiscard]] bool has(const std::string& name) const { return tensors_.count(name) > 0; }
    // The rest throw std::runtime_error if there is no such tensor, or of another dtype.
    [[nodiscard]] const Tensor& at(const std::string& name) const;
    [[nodiscard]] std::vector<float> as_f32(const std::string& name) const;
    [[nodiscard]] std::vector<std::int32_t> as_i32(const std::string& name) const;
    [[nodiscard]] std::vector<std::uint8_t> as_u8(const std::string& name) const;

private:
    template <class T>
    [[nodiscard]] std::vector<T> as(const std::string& name, const std::string& dtype) const;

    std::string file_;
    std::map<std::string, Tensor> tensors_;
};

}  // namespace r1::test
