// write_safetensors (declared in safetensors.hpp).
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>
#include <system_error>

#include <unistd.h>

#include "model/base/check.hpp"
#include "model/base/json.hpp"
#include "model/base/open_file.hpp"
#include "model/checkpoint/safetensors.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kAlignment = 8;  // of the data in the file, as the official library

// A temporary file beside the target that takes its place, or goes, when this object ends.
class Replacement {
public:
    explicit Replacement(const fs::path& target) : target_(target) {
        std::error_code ignored;
        const fs::file_status status = fs::status(target, ignored);
        if (fs::exists(status) && !fs::is_regular_file(status)) {
            // A rename would put a file in the place of the folder or device.
            throw InputError(target.string(), "is not a regular file");
        }
        static std::atomic<unsigned> count{0};
        temporary_ = target.parent_path() / (".r1sim-" + std::to_string(::getpid()) + "-" +
                                             std::to_string(count++) + ".safetensors.tmp");
        file_.reset(std::fopen(temporary_.c_str(), "wbx"));
        if (file_ == nullptr) {
            fail(errno);
        }
    }
    ~Replacement() {
        std::error_code ignored;
        if (!temporary_.empty()) {
            fs::remove(temporary_, ignored);
        }
    }
    Replacement(const Replacement&) = delete;
    Replacement& operator=(const Replacement&) = delete;

    void write(const void* bytes, std::size_t size) {
        if (size > 0 && std::fwrite(bytes, 1, size, file_.get()) != size) {
            fail(errno);
        }
    }
    void commit() {
        if (std::fflush(file_.get()) != 0 || std::fclose(file_.release()) != 0) {
            fail(errno);  // a full disk shows here
        }
        std::error_code error;
        fs::rename(temporary_, target_, error);
        if (error) {
            fail(error.value());
        }
        temporary_.clear();
    }

private:
    [[noreturn]] void fail(int error) const {
        throw InputError(target_.string(),
                         "cannot be written (" + std::generic_category().message(error) + ")");
    }

    fs::path target_;
    fs::path temporary_;
    OpenFile file_;
};

std::string header_text(const std::vector<const TensorView*>& order,
                        const SafetensorsMetadata& metadata) {
    // Not one Json object: inserting into an ordered one searches all keys before.
    std::string out = "{";
    const auto add = [&out](const std::string& key, const Json& value) {
        out += (out.size() > 1 ? "," : "") + Json(key).dump() + ":" + value.dump();
    };
    if (!metadata.empty()) {
        add("__metadata__", Json(metadata));
    }
    std::size_t offset = 0;
    for (const TensorView* tensor : order) {
        const std::size_t end = offset + tensor->data.size();
        add(tensor->name, Json{{"dtype", std::string(name(tensor->dtype))},
                               {"shape", tensor->shape},
                               {"data_offsets", {offset, end}}});
        offset = end;
    }
    out += "}";
    out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
    return out;
}

}  // namespace

void write_safetensors(const fs::path& file, std::span<const TensorView> tensors,
                       const SafetensorsMetadata& metadata) {
    std::vector<const TensorView*> order;
    std::set<std::string_view> names;
    for (const TensorView& tensor : tensors) {
        R1_CHECK(names.insert(tensor.name).second);
        std::int64_t count = 1;
        for (const std::int64_t size : tensor.shape) {
            count *= size;
        }
        R1_CHECK(static_cast<std::size_t>(count) * byte_size(tensor.dtype) == tensor.data.size());
        order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
        return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
    });
    const std::string header = header_text(order, metadata);
    R1_CHECK(header.size() <= kSafetensorsHeaderMax);

    Replacement out(file);
    const std::uint64_t length = header.size();
    out.write(&length, sizeof length);
    out.write(header.data(), header.size());
    for (const TensorView* tensor : order) {
        out.write(tensor->data.data(), tensor->data.size());
    }
    out.commit();
}

}  // namespace r1
