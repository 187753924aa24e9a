// Small tensors, files and checkpoints for the tests of model/checkpoint/.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "model/base/dtype.hpp"
#include "model/base/json.hpp"
#include "model/base/rng.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/config/parameters.hpp"

namespace r1::test {

inline void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_bytes(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

// The text of the InputError that `action` throws; "" if it throws none.
template <class Action>
std::string input_error(Action action) {
    try {
        action();
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

// Tensors that own their bytes.
class TensorSet {
public:
    template <class T>
    void add(const std::string& name, StoredType dtype, std::vector<std::int64_t> shape,
             const std::vector<T>& values) {
        std::vector<std::byte> bytes(values.size() * sizeof(T));
        if (!bytes.empty()) {
            std::memcpy(bytes.data(), values.data(), bytes.size());
        }
        TensorView view;
        view.name = name;
        view.dtype = dtype;
        view.shape = std::move(shape);
        tensors_.emplace_back(std::move(view), std::move(bytes));
    }
    void erase(const std::string& name) {
        std::erase_if(tensors_, [&](const auto& item) { return item.first.name == name; });
    }
    [[nodiscard]] std::vector<TensorView> views() const {
        std::vector<TensorView> views;
        for (const auto& [tensor, bytes] : tensors_) {
            views.push_back(tensor);
            views.back().data = bytes;
        }
        return views;
    }
    [[nodiscard]] TensorView at(const std::string& name) const {
        for (const TensorView& view : views()) {
            if (view.name == name) {
                return view;
            }
        }
        throw std::runtime_error("no tensor " + name);
    }

private:
    std::vector<std::pair<TensorView, std::vector<std::byte>>> tensors_;
};

// A dense and a MoE layer and an MTP layer; 160 = 128 + 32 makes partial scale blocks.
inline Json small_config_json() {
    return {{"model_type", "deepseek_v3"},
            {"vocab_size", 24},
            {"hidden_size", 160},
            {"intermediate_size", 48},
            {"moe_intermediate_size", 8},
            {"num_hidden_layers", 2},
            {"num_nextn_predict_layers", 1},
            {"num_attention_heads", 2},
            {"n_shared_experts", 1},
            {"n_routed_experts", 4},
            {"num_experts_per_tok", 2},
            {"n_group", 2},
            {"topk_group", 1},
            {"first_k_dense_replace", 1},
            {"q_lora_rank", 12},
            {"kv_lora_rank", 16},
            {"qk_nope_head_dim", 8},
            {"qk_rope_head_dim", 4},
            {"v_head_dim", 8},
            {"quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}}}};
}

inline ModelConfig small_config(const Json& json = small_config_json()) {
    Diagnostics diagnostics;
    ModelConfig config =
        read_model_config(Document::from_json(json, "config.json"), "", diagnostics);
    diagnostics.throw_if_errors();
    return config;
}

inline bool is_fp8_name(const std::string& name) {
    return name.ends_with("proj.weight") || name.ends_with("proj_with_mqa.weight")
               ? !name.ends_with("eh_proj.weight")
               : false;
}

// Every tensor of the config, copies too: projections as FP8 with their scales at the end, the
// others BF16, biases F32. Values are a function of the place in the inventory.
inline TensorSet small_tensors(const ModelConfig& config) {
    TensorSet set;
    std::vector<std::pair<std::string, std::vector<std::int64_t>>> fp8;
    std::uint64_t stream = 0;
    for (const Parameter& parameter : parameter_inventory(config)) {
        const bool is_embedding = parameter.name.ends_with("embed_tokens.weight");
        const bool is_head =
            parameter.name == "lm_head.weight" || (parameter.copy && !is_embedding);
        const Rng rng(7, is_embedding ? 1'000 : (is_head ? 1'001 : stream++));
        const auto count = static_cast<std::size_t>(parameter.count());
        if (is_fp8_name(parameter.name)) {
            std::vector<std::uint8_t> codes(count);
            for (std::size_t i = 0; i < count; ++i) {
                codes[i] = e4m3_from_float(static_cast<float>(100 * rng.normal(i)));
            }
            set.add(parameter.name, StoredType::f8_e4m3, parameter.shape, codes);
            fp8.emplace_back(parameter.name, parameter.shape);
        } else if (parameter.name.ends_with("bias")) {
            set.add(parameter.name, StoredType::f32, parameter.shape,
                    std::vector<float>(count, 0.25F));
        } else {
            std::vector<std::uint16_t> codes(count);
            for (std::size_t i = 0; i < count; ++i) {
                codes[i] = bf16_from_float(static_cast<float>(rng.normal(i)));
            }
            set.add(parameter.name, StoredType::bf16, parameter.shape, codes);
        }
    }
    for (const auto& [name, shape] : fp8) {
        const std::vector<std::int64_t> blocks = scale_shape(shape);
        std::vector<float> values(static_cast<std::size_t>(blocks[0] * blocks[1]));
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = 0.5F + static_cast<float>(i);
        }
        set.add(name + "_scale_inv", StoredType::f32, blocks, values);
    }
    return set;
}

}  // namespace r1::test
