#include "model/config/model_config.hpp"

#include <algorithm>
#include <map>

#include "model/base/json.hpp"

namespace r1 {

namespace {

// Far beyond every released model; products of them stay inside 64 bits, and a typing error does
// not ask for a table of a billion layers.
constexpr Range kWidth{1, 1 << 20};
constexpr Range kHeads{1, 1 << 14};  // heads, and elements of one
constexpr Range kVocabulary{1, 1 << 24};
constexpr Range kLayers{1, 1000};
constexpr std::int64_t kExpertsMax = 4096;
constexpr std::int64_t kExpertsOfAllLayersMax = 500'000;

// Keys of released config files that change nothing here. Nobody writes them to change something,
// but by an override.
const std::vector<std::string>& harmless_keys() {
    static const std::vector<std::string> keys = {
        "architectures", "attention_dropout", "aux_loss_alpha",
        "auto_map",      "bos_token_id",      "dtype",
        "ep_size",       "initializer_range", "num_key_value_heads",
        "pad_token_id",  "pretraining_tp",    "quantization_config",
        "seq_aux",       "torch_dtype",       "transformers_version",
        "use_cache",     "_name_or_path"};
    return keys;
}

void accept_harmless_keys(const Document& document, ObjectReader& reader) {
    for (const std::string& key : harmless_keys()) {
        const bool is_typed = document.is_override(reader.pointer(key));
        if (!is_typed || document.is_override(reader.pointer())) {
            reader.accept(key);
        }
    }
}

// A switch of other models that must stand as it does here.
void refuse_unless(ObjectReader& reader, const char* key, bool wanted, const char* problem) {
    bool value = wanted;
    reader.optional(key, value);
    if (value != wanted) {
        reader.error(key, problem);
    }
}

// "rope_scaling", or what transformers 5 writes in its place, with theta inside and a type
// "default" for none: "rope_parameters".
void read_rope_scaling(ObjectReader& reader, const char* key, ModelConfig& config) {
    std::optional<ObjectReader> scaling = reader.object(key, false);
    if (!scaling || !scaling->is_object()) {
        return;
    }
    std::string type;
    scaling->optional("type", type);
    scaling->optional("rope_type", type);
    scaling->optional("rope_theta", config.rope_theta, kPositive);
    if (type == "default") {
        scaling->finish(Keys::foreign);
        return;
    }
    if (type != "yarn") {
        scaling->error("type", "only YaRN rope scaling is supported, found '" + type + "'");
    }
    RopeScaling yarn;
    scaling->required("factor", yarn.factor, {1});
    scaling->optional("beta_fast", yarn.beta_fast, kPositive);
    scaling->optional("beta_slow", yarn.beta_slow, kPositive);
    scaling->optional("mscale", yarn.mscale, kNotNegative);
    scaling->optional("mscale_all_dim", yarn.mscale_all_dim, kNotNegative);
    scaling->required("original_max_position_embeddings", yarn.original_max_position_embeddings,
                      kAtLeastOne);
    scaling->finish(Keys::foreign);
    config.rope_scaling = yarn;
}

void read_attention(ObjectReader& reader, ModelConfig& config) {
    reader.required("num_attention_heads", config.num_attention_heads, kHeads);
    reader.optional("q_lora_rank", config.q_lora_rank, kWidth);
    reader.required("kv_lora_rank", config.kv_lora_rank, kWidth);
    reader.required("qk_nope_head_dim", config.qk_nope_head_dim, kHeads);
    reader.required("qk_rope_head_dim", config.qk_rope_head_dim, {2, kHeads.max});
    reader.required("v_head_dim", config.v_head_dim, kHeads);
    reader.optional("rope_theta", config.rope_theta, kPositive);
    reader.optional("max_position_embeddings", config.max_position_embeddings, kAtLeastOne);
    if (config.qk_rope_head_dim % 2 != 0) {
        reader.error("qk_rope_head_dim", "must be even: rotary embedding turns pairs");
    }
    read_rope_scaling(reader, "rope_scaling", config);
    read_rope_scaling(reader, "rope_parameters", config);
    refuse_unless(reader, "attention_bias", false, "projections with a bias are not supported");
    refuse_unless(reader, "rope_interleave", true,
                  "only rotary embedding of adjacent pairs is supported");
}

void read_experts(ObjectReader& reader, ModelConfig& config) {
    reader.optional("n_routed_experts", config.n_routed_experts, {0, kExpertsMax});
    if (!config.has_experts()) {
        return;
    }
    reader.required("moe_intermediate_size", config.moe_intermediate_size, kWidth);
    reader.required("num_experts_per_tok", config.num_experts_per_tok, {1, kExpertsMax});
    reader.optional("n_shared_experts", config.n_shared_experts, {0, 1024});
    reader.optional("n_group", config.n_group, {1, kExpertsMax});
    reader.optional("topk_group", config.topk_group, {1, kExpertsMax});
    reader.optional("first_k_dense_replace", config.first_k_dense_replace, kNotNegative);
    reader.optional("moe_layer_freq", config.moe_layer_freq, kAtLeastOne);
    reader.optional("routed_scaling_factor", config.routed_scaling_factor, kPositive);
    reader.optional("norm_topk_prob", config.norm_topk_prob);
    int scoring = static_cast<int>(config.scoring_func);
    reader.optional_choice("scoring_func", {"sigmoid", "softmax"}, scoring);
    config.scoring_func = static_cast<ScoringFunc>(scoring);
    int method = static_cast<int>(config.topk_method);
    reader.optional_choice("topk_method", {"noaux_tc", "group_limited_greedy", "greedy"}, method);
    config.topk_method = static_cast<TopkMethod>(method);

    if (config.n_routed_experts * config.num_hidden_layers > kExpertsOfAllLayersMax) {
        reader.error("n_routed_experts", "more than " + std::to_string(kExpertsOfAllLayersMax) +
                                             " experts in all layers together");
    }
    if (config.n_routed_experts % config.n_group != 0) {
        reader.error("n_group", "must divide n_routed_experts");
    } else if (config.topk_group > config.n_group) {
        reader.error("topk_group", "must not exceed n_group");
    } else if (config.num_experts_per_tok >
               config.topk_group * (config.n_routed_experts / config.n_group)) {
        reader.error("num_experts_per_tok", "exceeds the experts of topk_group groups");
    }
}

void read_activation(ObjectReader& reader) {
    std::string activation = "silu";
    reader.optional("hidden_act", activation);
    if (activation != "silu") {
        reader.error("hidden_act", "only silu is supported, found " + quote(activation));
    }
}

// One id, a list of them, or null.
void read_end_tokens(ObjectReader& reader, ModelConfig& config) {
    const Json* ids = reader.raw("eos_token_id");
    if (ids == nullptr || ids->is_null()) {
        return;
    }
    const Json list = ids->is_array() ? *ids : Json::array({*ids});
    for (const Json& id : list) {
        if (!id.is_number_integer()) {
            reader.error("eos_token_id", "must be a token id or a list of them");
            return;
        }
        config.eos_token_ids.push_back(id.get<std::int64_t>());
    }
}

std::string supported_type_problem(const std::string& type) {
    if (type == "deepseek_v3" || type == "kimi_k2" || type == "deepseek_v2") {
        return {};
    }
    return "model type '" + type +
           "' is not supported: this program implements the DeepSeek-V3 architecture "
           "(deepseek_v3; also kimi_k2 and deepseek_v2)";
}

}  // namespace

bool ModelConfig::is_moe(std::int64_t layer) const {
    if (!has_experts()) {
        return false;
    }
    return layer >= num_hidden_layers ||
           (layer >= first_k_dense_replace && layer % moe_layer_freq == 0);
}

ModelConfig read_model_config(const Document& document, const std::string& pointer,
                              Diagnostics& diagnostics) {
    ModelConfig config;
    ObjectReader reader(document, pointer, diagnostics);
    if (!reader.is_object()) {
        return config;
    }
    if (reader.has("text_config") && !reader.has("hidden_size")) {
        reader.accept("text_config");
        reader.accept("model_type");
        accept_harmless_keys(document, reader);
        reader.finish(Keys::foreign);
        return read_model_config(document, join_pointer(pointer, "text_config"), diagnostics);
    }
    reader.required("model_type", config.model_type);
    if (const std::string problem = supported_type_problem(config.model_type); !problem.empty()) {
        // The rest of a foreign architecture would only give misleading errors.
        if (reader.has("model_type")) {
            reader.error("model_type", problem);
        }
        return config;
    }
    reader.required("vocab_size", config.vocab_size, kVocabulary);
    reader.required("hidden_size", config.hidden_size, kWidth);
    reader.required("num_hidden_layers", config.num_hidden_layers, kLayers);
    reader.optional("num_nextn_predict_layers", config.num_nextn_predict_layers, {0, 1});
    reader.required("intermediate_size", config.intermediate_size, kWidth);
    reader.optional("rms_norm_eps", config.rms_norm_eps, kPositive);
    reader.optional("tie_word_embeddings", config.tie_word_embeddings);
    read_attention(reader, config);
    read_experts(reader, config);
    if (const Json* quantization = reader.raw("quantization_config");
        quantization != nullptr && quantization->is_object()) {
        config.fp8_weights = quantization->value("quant_method", Json("")) == Json("fp8");
    }
    read_activation(reader);
    read_end_tokens(reader, config);
    accept_harmless_keys(document, reader);
    reader.finish(Keys::foreign);
    return config;
}

Document load_model_document(const std::string& file_or_preset,
                             const std::filesystem::path& relative_to) {
    const std::vector<std::string>& presets = model_presets();
    if (std::find(presets.begin(), presets.end(), file_or_preset) != presets.end()) {
        return Document::from_json(model_preset(file_or_preset), "preset " + file_or_preset);
    }
    std::filesystem::path path = relative_to / file_or_preset;
    std::error_code error;  // a name too long, a folder that may not be searched: no such file
    if (std::filesystem::is_directory(path, error)) {
        path /= "config.json";
    }
    if (!std::filesystem::exists(path, error)) {
        throw InputError(path.string(), "no such file, and no model preset of that name" +
                                            did_you_mean(file_or_preset, presets));
    }
    return Document::from_file(path);
}

}  // namespace r1
