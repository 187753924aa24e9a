#include "tests/support/safetensors.hpp"

#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace r1::test {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

namespace {

std::size_t bytes_per_element(const std::string& dtype) {
    static const std::map<std::string, std::size_t> kSizes{
        {"F64", 8}, {"I64", 8}, {"F32", 4}, {"I32", 4}, {"U32", 4},     {"BF16", 2},   {"F16", 2},
        {"I16", 2}, {"U16", 2}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    const auto found = kSizes.find(dtype);
    return found == kSizes.end() ? 0 : found->second;
}

}  // namespace

SafeTensors::SafeTensors(const std::filesystem::path& file) : file_(file.string()) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(in), {}};
    const auto need = [this](bool condition, const std::string& what) {
        if (!condition) {
            throw std::runtime_error(file_ + ": " + what);
        }
    };
    std::uint64_t header_size = 0;
    need(content.size() >= sizeof header_size, "is missing or too short");
    std::memcpy(&header_size, content.data(), sizeof header_size);
    need(header_size <= content.size() - sizeof header_size, "header runs past the end");
    const char* const header_begin = content.data() + sizeof header_size;
    const char* const data = header_begin + header_size;
    const auto data_size = static_cast<std::size_t>(content.data() + content.size() - data);

    const auto header = nlohmann::json::parse(header_begin, data);
    for (const auto& [name, entry] : header.items()) {
        if (name == "__metadata__") {
            continue;
        }
        Tensor tensor;
        tensor.dtype = entry.at("dtype").get<std::string>();
        tensor.shape = entry.at("shape").get<std::vector<std::int64_t>>();
        const auto begin = entry.at("data_offsets").at(0).get<std::size_t>();
        const auto end = entry.at("data_offsets").at(1).get<std::size_t>();
        need(begin <= end && end <= data_size, name + " runs past the end");
        std::size_t size = bytes_per_element(tensor.dtype);
        for (const std::int64_t extent : tensor.shape) {
            size *= static_cast<std::size_t>(extent);
        }
        need(size == end - begin, name + " has the wrong size");
        tensor.bytes.assign(data + begin, data + end);
        tensors_.emplace(name, std::move(tensor));
    }
}

const Tensor& SafeTensors::at(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
        throw std::runtime_error(file_ + ": no tensor " + name);
    }
    return found->second;
}

template <class T>
std::vector<T> SafeTensors::as(const std::string& name, const std::string& dtype) const {
    const Tensor& tensor = at(name);
    if (tensor.dtype != dtype) {
        throw std::runtime_error(file_ + ": " + name + " is " + tensor.dtype + ", not " + dtype);
    }
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    if (!values.empty()) {
        std::memcpy(values.data(), tensor.bytes.data(), values.size() * sizeof(T));
    }
    return values;
}

std::vector<float> SafeTensors::as_f32(const std::string& name) const {
    return as<float>(name, "F32");
}
std::vector<std::int32_t> SafeTensors::as_i32(const std::string& name) const {
    return as<std::int32_t>(name, "I32");
}
std::vector<std::uint8_t> SafeTensors::as_u8(const std::string& name) const {
    return as<std::uint8_t>(name, "U8");
}

}  // namespace r1::test
