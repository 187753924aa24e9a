#include "tools/model_options.hpp"

#include <cstring>
#include <filesystem>
#include <sstream>

#include "model/base/diagnostics.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "runtime/cpu_device.hpp"
#include "runtime/device_library.hpp"

namespace r1 {

DeviceKind device_of(const Invocation& invocation, int local_rank) {
    const std::string device = invocation.text("device");
    if (device != "cpu" && device != "cuda") {
        throw UsageError("--device takes cpu or cuda, not '" + device + "'" +
                         did_you_mean(device, {"cpu", "cuda"}));
    }
    return device == "cpu" ? cpu_devices() : load_cuda_devices(local_rank);
}

void add_execution_options(po::options_description& options, const char* compute) {
    options.add_options()  //
        ("device", po::value<std::string>()->default_value("cpu")->value_name("cpu|cuda"),
         "where ops run")  //
        ("compute", po::value<std::string>()->default_value(compute)->value_name("fp32|bf16"),
         "what BF16 tensors of the graph are computed in")  //
        ("fp8",
         po::value<std::string>()->default_value("simulate")->value_name("simulate|dequantize"),
         "FP8 weights: quantise activations too, or expand the weights")  //
        ("binding", po::value<std::string>()->value_name("FILE"),
         "write the values of the graph's symbols, and the rows that each expert got")  //
        ("timeline", po::value<std::string>()->value_name("FILE"), "write when each op ran");
}

void refuse_overrides(const Invocation& invocation) {
    if (invocation.has("set")) {
        throw UsageError("--set changes fields of an input file, and this command has none");
    }
}

ExecutionPolicy policy_of(const Invocation& invocation) {
    const std::string compute = invocation.text("compute");
    const std::string fp8 = invocation.text("fp8");
    if (compute != "fp32" && compute != "bf16") {
        throw UsageError("--compute takes fp32 or bf16, not '" + compute + "'");
    }
    if (fp8 != "simulate" && fp8 != "dequantize") {
        throw UsageError("--fp8 takes simulate or dequantize, not '" + fp8 + "'");
    }
    if (invocation.has("jobs")) {
        set_cpu_threads(invocation.get<int>("jobs"));
    }
    ExecutionPolicy policy;
    policy.compute = compute == "fp32" ? DType::f32 : DType::bf16;
    policy.fp8 = fp8 == "simulate" ? Fp8Mode::simulate : Fp8Mode::dequantize;
    return policy;
}

std::vector<std::int32_t> parse_tokens(const std::string& text) {
    std::vector<std::int32_t> tokens;
    if (text.ends_with(',')) {
        throw InputError("--tokens", "ends with a comma");
    }
    std::istringstream stream(text);
    std::string piece;
    while (std::getline(stream, piece, ',')) {
        try {
            std::size_t used = 0;
            const int id = std::stoi(piece, &used);
            if (used != piece.size()) {
                throw std::invalid_argument(piece);
            }
            tokens.push_back(id);
        } catch (const std::exception&) {
            throw InputError("--tokens", "'" + piece + "' is not a token id");
        }
    }
    return tokens;
}

TokenBatch read_tokens(const std::string& file) {
    const SafetensorsFile input(file);
    const TensorView& view = input.at("tokens");
    if (view.shape.empty() || view.shape.size() > 2 ||
        (view.dtype != StoredType::i32 && view.dtype != StoredType::i64)) {
        throw InputError(file, "tensor 'tokens' must be I32 or I64 of shape [T] or [B, T], found " +
                                   std::string(name(view.dtype)) + " " + shape_text(view.shape));
    }
    TokenBatch tokens;
    tokens.sequences = view.shape.size() == 2 ? view.shape.front() : 1;
    const auto count = static_cast<std::size_t>(view.count());
    for (std::size_t i = 0; i < count; ++i) {
        if (view.dtype == StoredType::i32) {
            std::int32_t id = 0;
            std::memcpy(&id, view.data.data() + 4 * i, 4);
            tokens.ids.push_back(id);
        } else {
            std::int64_t id = 0;
            std::memcpy(&id, view.data.data() + 8 * i, 8);
            if (id < 0 || id > INT32_MAX) {
                throw InputError(file,
                                 "tensor 'tokens': " + std::to_string(id) + " is not a token id");
            }
            tokens.ids.push_back(static_cast<std::int32_t>(id));
        }
    }
    return tokens;
}

std::string model_folder(const std::string& model) {
    std::error_code ignored;
    const std::filesystem::path path(model);
    return std::filesystem::is_directory(path, ignored) ? model : path.parent_path().string();
}

}  // namespace r1
