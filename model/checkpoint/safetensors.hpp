// safetensors files: 8 bytes of header length (little-endian), a JSON header, raw little-endian
// data. Format: https://github.com/huggingface/safetensors. Reading is strict: every byte of the
// data belongs to exactly one tensor, and each tensor's bytes follow from its shape and type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoint/mapped_file.hpp"

namespace r1 {

// What a file can hold, in the order of the official library: it writes larger alignments first.
enum class StoredType : std::uint8_t {
    boolean,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,  // a power of two, exponent only
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    f64,
    i64,
    u64
};

std::string_view name(StoredType type);  // as files spell it: "F32", "F8_E4M3", "BOOL"
std::optional<StoredType> parse_stored_type(std::string_view name);
std::size_t byte_size(StoredType type);

// A tensor that lies in memory owned by something else.
struct TensorView {
    std::string name;
    StoredType dtype = StoredType::f32;
    std::vector<std::int64_t> shape;  // [] is one value
    std::span<const std::byte> data;  // row-major, little-endian; may be unaligned

    [[nodiscard]] std::int64_t count() const;
};

// "[3, 128]", for messages.
std::string shape_text(std::span<const std::int64_t> shape);

using SafetensorsMetadata = std::map<std::string, std::string>;

struct SafetensorsContent {
    std::vector<TensorView> tensors;  // ascending by name; the data lies in the parsed bytes
    SafetensorsMetadata metadata;
};

inline constexpr std::size_t kSafetensorsHeaderMax = 100'000'000;  // as the official library

// Parses a whole file held in memory; `file` is its name in messages. Throws InputError with all
// problems found.
SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, const std::string& file);

// An open file. Its views stay valid when the object is moved.
class SafetensorsFile {
public:
    explicit SafetensorsFile(const std::filesystem::path& file);

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] const std::vector<TensorView>& tensors() const { return content_.tensors; }
    [[nodiscard]] const SafetensorsMetadata& metadata() const { return content_.metadata; }
    // nullptr if there is none.
    [[nodiscard]] const TensorView* find(std::string_view name) const;
    // Throws InputError if there is none.
    [[nodiscard]] const TensorView& at(std::string_view name) const;

private:
    std::filesystem::path path_;
    MappedFile mapped_;
    SafetensorsContent content_;
};

// Writes to a temporary file beside `file`, then renames; the data goes straight from the views.
// Tensors are put in the order of the official library (type, then name), so equal tensors give
// equal bytes whatever their order here. Throws InputError if the file cannot be written.
void write_safetensors(const std::filesystem::path& file, std::span<const TensorView> tensors,
                       const SafetensorsMetadata& metadata = {});

}  // namespace r1
