#include "model/checkpoint/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "model/base/check.hpp"
#include "model/base/json.hpp"

namespace r1 {

static_assert(std::endian::native == std::endian::little,
              "tensor data is used as it lies in files");

namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kHeaderProblemsMax = 1000;  // a hostile header has millions

struct TypeInfo {
    std::string_view name;
    std::size_t bytes;
};

// Indexed by StoredType.
constexpr std::array<TypeInfo, 16> kTypes{{{"BOOL", 1},
                                           {"U8", 1},
                                           {"I8", 1},
                                           {"F8_E5M2", 1},
                                           {"F8_E4M3", 1},
                                           {"F8_E8M0", 1},
                                           {"I16", 2},
                                           {"U16", 2},
                                           {"F16", 2},
                                           {"BF16", 2},
                                           {"I32", 4},
                                           {"U32", 4},
                                           {"F32", 4},
                                           {"F64", 8},
                                           {"I64", 8},
                                           {"U64", 8}}};

// Reads the header; collects the problems of all tensors.
class HeaderReader {
public:
    HeaderReader(std::span<const std::byte> data, const std::string& file)
        : data_(data), file_(file) {}

    SafetensorsContent read(std::string_view header) {
        const Document document = parse(header);
        if (!document.root().is_object()) {
            throw InputError(file_, "the safetensors header is not a JSON object");
        }
        for (const auto& [key, value] : document.root().items()) {
            if (key == kMetadataKey) {
                read_metadata(value);
            } else {
                read_tensor(key, value);
            }
        }
        diagnostics_.throw_if_errors();
        check_coverage();
        diagnostics_.throw_if_errors();
        std::sort(content_.tensors.begin(), content_.tensors.end(),
                  [](const auto& a, const auto& b) { return a.name < b.name; });
        return std::move(content_);
    }

private:
    void error(const std::string& message) {
        if (diagnostics_.errors().size() < kHeaderProblemsMax) {
            diagnostics_.error({file_, 0, 0}, "", message);
        }
    }
    void tensor_error(const std::string& name, const std::string& message) {
        error("tensor " + quote(name) + ": " + message);
    }

    // Duplicate names and too deep nesting are the parser's errors.
    [[nodiscard]] Document parse(std::string_view header) const {
        try {
            return Document::from_text(header, file_);
        } catch (const InputError& problem) {
            std::vector<Diagnostic> diagnostics = problem.diagnostics();
            for (Diagnostic& diagnostic : diagnostics) {
                diagnostic.message = "in the safetensors header: " + diagnostic.message;
            }
            throw InputError(std::move(diagnostics));
        }
    }

    void read_metadata(const Json& value) {
        if (!value.is_object()) {
            error("the safetensors metadata is not a JSON object");
            return;
        }
        for (const auto& [key, text] : value.items()) {
            if (text.is_string()) {
                content_.metadata.emplace(key, text.get<std::string>());
            } else {
                error("the safetensors metadata " + quote(key) + " is not a string");
            }
        }
    }

    void read_tensor(const std::string& name, const Json& value) {
        if (!value.is_object()) {
            tensor_error(name, "its entry in the header is not a JSON object");
            return;
        }
        for (const auto& [key, ignored] : value.items()) {
            if (key != "dtype" && key != "shape" && key != "data_offsets") {
                tensor_error(name, "unknown key " + quote(key) + " in the header");
                return;
            }
        }
        TensorView tensor;
        tensor.name = name;
        if (read_dtype(tensor, value) && read_shape(tensor, value) && read_data(tensor, value)) {
            content_.tensors.push_back(std::move(tensor));
        }
    }

    bool read_dtype(TensorView& tensor, const Json& value) {
        const auto found = value.find("dtype");
        if (found == value.end() || !found->is_string()) {
            tensor_error(tensor.name, "dtype is missing or not a string");
            return false;
        }
        const auto text = found->get<std::string>();
        const std::optional<StoredType> type = parse_stored_type(text);
        if (!type) {
            std::vector<std::string> known;
            for (const TypeInfo& info : kTypes) {
                known.emplace_back(info.name);
            }
            tensor_error(tensor.name, "unknown dtype " + quote(text) + did_you_mean(text, known));
            return false;
        }
        tensor.dtype = *type;
        return true;
    }

    // A list of whole numbers that fit an int64; false if it is anything else.
    static bool read_integers(const Json& value, const char* key, std::vector<std::int64_t>& out) {
        const auto found = value.find(key);
        if (found == value.end() || !found->is_array()) {
            return false;
        }
        constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        for (const Json& item : *found) {
            if (!item.is_number_unsigned() || item.get<std::uint64_t>() > kMax) {
                return false;
            }
            out.push_back(item.get<std::int64_t>());
        }
        return true;
    }

    bool read_shape(TensorView& tensor, const Json& value) {
        if (read_integers(value, "shape", tensor.shape)) {
            return true;
        }
        tensor_error(tensor.name, "shape is missing or not a list of sizes");
        return false;
    }

    bool read_data(TensorView& tensor, const Json& value) {
        std::vector<std::int64_t> offsets;
        if (!read_integers(value, "data_offsets", offsets) || offsets.size() != 2) {
            tensor_error(tensor.name, "data_offsets is missing or not a pair of offsets");
            return false;
        }
        const auto begin = static_cast<std::size_t>(offsets[0]);
        const auto end = static_cast<std::size_t>(offsets[1]);
        if (begin > end || end > data_.size()) {
            tensor_error(tensor.name, "data_offsets " + shape_text(offsets) + " lie outside the " +
                                          std::to_string(data_.size()) + " bytes of data");
            return false;
        }
        std::size_t bytes = byte_size(tensor.dtype);
        for (const std::int64_t size : tensor.shape) {
            if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes)) {
                tensor_error(tensor.name, "shape " + shape_text(tensor.shape) + " is too large");
                return false;
            }
        }
        if (bytes != end - begin) {
            tensor_error(tensor.name, "shape " + shape_text(tensor.shape) + " of " +
                                          std::string(r1::name(tensor.dtype)) + " takes " +
                                          std::to_string(bytes) + " bytes, data_offsets give " +
                                          std::to_string(end - begin));
            return false;
        }
        tensor.data = data_.subspan(begin, bytes);
        return true;
    }

    // Tensors in the order of their data must touch each other and both ends.
    void check_coverage() {
        std::vector<const TensorView*> order;
        for (const TensorView& tensor : content_.tensors) {
            order.push_back(&tensor);
        }
        std::sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
            return std::pair(a->data.data(), a->data.size()) <
                   std::pair(b->data.data(), b->data.size());
        });
        std::size_t covered = 0;
        const TensorView* previous = nullptr;
        for (const TensorView* tensor : order) {
            const auto begin = static_cast<std::size_t>(tensor->data.data() - data_.data());
            if (begin < covered) {
                tensor_error(tensor->name, "its data overlaps that of " + quote(previous->name));
            } else if (begin > covered) {
                tensor_error(tensor->name, std::to_string(begin - covered) +
                                               " bytes before its data belong to no tensor");
            }
            if (begin + tensor->data.size() >= covered) {
                covered = begin + tensor->data.size();
                previous = tensor;
            }
        }
        if (covered < data_.size()) {
            error("the last " + std::to_string(data_.size() - covered) +
                  " bytes belong to no tensor");
        }
    }

    std::span<const std::byte> data_;
    const std::string& file_;
    SafetensorsContent content_;
    Diagnostics diagnostics_;
};

}  // namespace

std::string_view name(StoredType type) { return kTypes.at(static_cast<std::size_t>(type)).name; }

std::size_t byte_size(StoredType type) { return kTypes.at(static_cast<std::size_t>(type)).bytes; }

std::optional<StoredType> parse_stored_type(std::string_view name) {
    for (std::size_t i = 0; i < kTypes.size(); ++i) {
        if (kTypes[i].name == name) {
            return static_cast<StoredType>(i);
        }
    }
    return std::nullopt;
}

std::int64_t TensorView::count() const {
    return static_cast<std::int64_t>(data.size() / byte_size(dtype));
}

std::string shape_text(std::span<const std::int64_t> shape) {
    std::string out = "[";
    for (const std::int64_t size : shape) {
        out += (out.size() > 1 ? ", " : "") + std::to_string(size);
    }
    return out + "]";
}

SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, const std::string& file) {
    if (bytes.size() < kLengthBytes) {
        throw InputError(file, "is not a safetensors file: only " + std::to_string(bytes.size()) +
                                   " bytes, the header length alone takes 8");
    }
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), kLengthBytes);
    if (length > kSafetensorsHeaderMax) {
        throw InputError(file, "is not a safetensors file: a header of " + std::to_string(length) +
                                   " bytes, " + std::to_string(kSafetensorsHeaderMax) + " at most");
    }
    if (length > bytes.size() - kLengthBytes) {
        throw InputError(file, "is truncated: the safetensors header has " +
                                   std::to_string(length) + " bytes, the file holds " +
                                   std::to_string(bytes.size() - kLengthBytes) + " of them");
    }
    const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                                  static_cast<std::size_t>(length));
    if (!header.starts_with('{')) {
        throw InputError(file, "is not a safetensors file: the header does not start with '{'");
    }
    return HeaderReader(bytes.subspan(kLengthBytes + header.size()), file).read(header);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file)
    : path_(file), mapped_(file), content_(parse_safetensors(mapped_.bytes(), file.string())) {}

const TensorView* SafetensorsFile::find(std::string_view name) const {
    const auto found = std::lower_bound(
        content_.tensors.begin(), content_.tensors.end(), name,
        [](const TensorView& tensor, std::string_view wanted) { return tensor.name < wanted; });
    return found == content_.tensors.end() || found->name != name ? nullptr : &*found;
}

const TensorView& SafetensorsFile::at(std::string_view name) const {
    const TensorView* found = find(name);
    if (found == nullptr) {
        throw InputError(path_.string(), "has no tensor " + quote(name));
    }
    return *found;
}

}  // namespace r1
