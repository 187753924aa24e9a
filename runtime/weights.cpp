#include "runtime/weights.hpp"

#include <algorithm>

#include "kernels/matrix.hpp"
#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

std::string checkpoint_name(const std::string& name, const ModelConfig& config,
                            std::int64_t first_layer) {
    const auto layer = [](std::int64_t index) {
        return "model.layers." + std::to_string(index) + ".";
    };
    if (name.starts_with("mtp.")) {
        return layer(config.num_hidden_layers) + name.substr(4);
    }
    if (name.starts_with("layers.")) {
        const std::size_t dot = name.find('.', 7);
        return layer(first_layer + std::stoll(name.substr(7, dot - 7))) + name.substr(dot + 1);
    }
    return name;
}

std::string replaced(std::string text, std::string_view from, const std::string& to) {
    const std::size_t at = text.find(from);
    R1_CHECK(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

// Fused projections lie in the checkpoint as two.
std::int64_t parts_of(const Tensor& tensor) {
    return tensor.name.find("gate_up_proj") == std::string::npos ? 1 : 2;
}

// Scales of a weight's 128x128 blocks; a part's blocks begin at its own first row.
std::size_t scale_count(const Tensor& tensor, const ExecutionPolicy& policy) {
    if (stored_as(tensor, policy) != DType::e4m3) {
        return 0;
    }
    const std::size_t dims = tensor.shape.size();
    const auto rows = static_cast<std::int64_t>(tensor.shape[dims - 2].constant);
    const auto columns = static_cast<std::int64_t>(tensor.shape[dims - 1].constant);
    const std::int64_t experts =
        dims == 3 ? static_cast<std::int64_t>(tensor.shape[0].constant) : 1;
    const std::int64_t parts = parts_of(tensor);
    return static_cast<std::size_t>(experts * parts * tiles(rows / parts) * tiles(columns));
}

// Fills an array of a device from front to back.
template <class T>
class Filler {
public:
    Filler(Memory& memory, std::size_t size) : array_(memory, size) {}

    void append(const void* values, std::size_t count) {
        R1_CHECK(count <= array_.size() - filled_);
        array_.memory().copy(array_.data() + filled_, values, count * sizeof(T));
        filled_ += count;
    }
    [[nodiscard]] DeviceArray<T> take() && {
        R1_CHECK(filled_ == array_.size());
        return std::move(array_);
    }

private:
    DeviceArray<T> array_;
    std::size_t filled_ = 0;
};

void append_values(Filler<std::byte>& data, DType dtype, const std::vector<float>& values) {
    if (dtype == DType::f32) {
        data.append(values.data(), values.size() * sizeof(float));
        return;
    }
    R1_CHECK(dtype == DType::bf16);
    std::vector<std::uint16_t> rounded;
    rounded.reserve(values.size());
    for (const float value : values) {
        rounded.push_back(bf16_from_float(value));
    }
    data.append(rounded.data(), rounded.size() * sizeof(std::uint16_t));
}

void append_fp8(Filler<std::byte>& data, Filler<float>& scales, const std::string& name,
                const Checkpoint& checkpoint) {
    const TensorView& stored = checkpoint.at(name);
    const TensorView* scale = checkpoint.scale_of(name);
    if (stored.dtype != StoredType::f8_e4m3 || scale == nullptr) {
        throw InputError(checkpoint.file_of(name),
                         "tensor '" + name +
                             "' is not FP8 with block scales, but the model's "
                             "config says that its weights are");
    }
    const auto nan = std::find_if(stored.data.begin(), stored.data.end(), [](std::byte code) {
        return (code & std::byte{0x7F}) == std::byte{0x7F};
    });
    if (nan != stored.data.end()) {
        throw InputError(checkpoint.file_of(name), "tensor '" + name + "': value " +
                                                       std::to_string(nan - stored.data.begin()) +
                                                       " is not a number; the file is damaged");
    }
    data.append(stored.data.data(), stored.data.size());
    const std::vector<float> values = checkpoint.f32(scale->name);
    scales.append(values.data(), values.size());
}

}  // namespace

std::vector<std::string> checkpoint_names(const Tensor& parameter, const ModelConfig& config,
                                          std::int64_t first_layer, std::int64_t first_expert) {
    const std::string name = checkpoint_name(parameter.name, config, first_layer);
    constexpr std::string_view kFused = "gate_up_proj";
    std::vector<std::string> parts = {name};
    if (name.find(kFused) != std::string::npos) {
        parts = {replaced(name, kFused, "gate_proj"), replaced(name, kFused, "up_proj")};
    }
    constexpr std::string_view kExperts = ".experts.";
    if (name.find(kExperts) == std::string::npos) {
        return parts;
    }
    std::vector<std::string> names;
    for (const std::string& part : parts) {
        const auto experts = static_cast<std::int64_t>(parameter.shape.front().constant);
        for (std::int64_t expert = 0; expert < experts; ++expert) {
            names.push_back(replaced(part, kExperts,
                                     ".experts." + std::to_string(first_expert + expert) + "."));
        }
    }
    return names;
}

void StageWeights::plan(const ChunkTemplate& chunk) {
    for (const Tensor& tensor : chunk.tensors) {
        if (tensor.role == TensorRole::parameter && !is_scale(tensor)) {
            Weight& weight = weights_[tensor.name];
            weight.dtype = stored_as(tensor, policy_);
            weight.parts = parts_of(tensor);
        }
    }
}

void StageWeights::load(const ChunkTemplate& chunk, const Checkpoint& checkpoint,
                        std::int64_t first_layer) {
    plan(chunk);
    for (const Tensor& tensor : chunk.tensors) {
        if (tensor.role != TensorRole::parameter || is_scale(tensor) ||
            !weights_.at(tensor.name).data.empty()) {
            continue;
        }
        Weight& weight = weights_.at(tensor.name);
        Filler<std::byte> data(memory_, stored_bytes(tensor, {}, policy_));
        Filler<float> scales(memory_, scale_count(tensor, policy_));
        for (const std::string& name : checkpoint_names(tensor, checkpoint.config(), first_layer)) {
            if (weight.dtype == DType::e4m3) {
                append_fp8(data, scales, name, checkpoint);
            } else {
                append_values(data, weight.dtype, checkpoint.f32(name));
            }
            checkpoint.release(name);
        }
        weight.data = std::move(data).take();
        weight.scales = std::move(scales).take();
    }
}

const Weight* StageWeights::find(const std::string& name) const {
    const auto found = weights_.find(name);
    return found == weights_.end() ? nullptr : &found->second;
}

std::size_t StageWeights::planned_bytes(const ChunkTemplate& chunk, const ExecutionPolicy& policy) {
    std::size_t total = 0;
    for (const Tensor& tensor : chunk.tensors) {
        if (tensor.role == TensorRole::parameter && !is_scale(tensor)) {
            total += stored_bytes(tensor, {}, policy) + scale_count(tensor, policy) * sizeof(float);
        }
    }
    return total;
}

}  // namespace r1
