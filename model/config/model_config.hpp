// The architecture of a DeepSeek-V3/R1 model, from a Hugging Face config.json.
// Names are those of the file (configuration_deepseek.py of the released checkpoints).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"

namespace r1 {

struct RopeScaling {  // YaRN
    double factor = 1;
    double beta_fast = 32;
    double beta_slow = 1;
    double mscale = 1;
    double mscale_all_dim = 0;
    std::int64_t original_max_position_embeddings = 4096;

    bool operator==(const RopeScaling&) const = default;
};

enum class ScoringFunc { sigmoid, softmax };
enum class TopkMethod { noaux_tc, group_limited_greedy, greedy };

struct ModelConfig {
    std::string model_type = "deepseek_v3";
    std::int64_t vocab_size = 0;
    std::int64_t hidden_size = 0;
    std::int64_t intermediate_size = 0;      // dense FFN
    std::int64_t moe_intermediate_size = 0;  // one expert
    std::int64_t num_hidden_layers = 0;
    std::int64_t num_nextn_predict_layers = 0;  // MTP modules
    std::int64_t num_attention_heads = 0;
    std::int64_t n_shared_experts = 0;
    std::int64_t n_routed_experts = 0;
    std::int64_t num_experts_per_tok = 0;
    std::int64_t n_group = 1;
    std::int64_t topk_group = 1;
    std::int64_t first_k_dense_replace = 0;
    std::int64_t moe_layer_freq = 1;
    std::int64_t q_lora_rank = 0;  // 0: queries are projected directly
    std::int64_t kv_lora_rank = 0;
    std::int64_t qk_nope_head_dim = 0;
    std::int64_t qk_rope_head_dim = 0;
    std::int64_t v_head_dim = 0;
    std::int64_t max_position_embeddings = 0;
    double routed_scaling_factor = 1;
    double rms_norm_eps = 1e-6;
    double rope_theta = 10000;
    std::optional<RopeScaling> rope_scaling;
    ScoringFunc scoring_func = ScoringFunc::sigmoid;
    TopkMethod topk_method = TopkMethod::noaux_tc;
    bool norm_topk_prob = true;
    bool tie_word_embeddings = false;
    std::vector<std::int64_t> eos_token_ids;  // that end a text; empty: the file does not say
    bool fp8_weights = false;                 // quantization_config.quant_method == "fp8"

    [[nodiscard]] std::int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
    [[nodiscard]] std::int64_t query_dim() const { return num_attention_heads * qk_head_dim(); }
    [[nodiscard]] std::int64_t value_dim() const { return num_attention_heads * v_head_dim; }
    [[nodiscard]] bool has_experts() const { return n_routed_experts > 0; }
    // Layers count from 0; the MTP layers follow the trunk and are always MoE where there are
    // experts at all.
    [[nodiscard]] bool is_moe(std::int64_t layer) const;

    bool operator==(const ModelConfig&) const = default;
};

// Reads a config document, at `pointer` for a config inside another file. A config nested under
// "text_config" is found. Unknown keys become notes. Refuses model types whose attention or
// routing this program does not implement.
ModelConfig read_model_config(const Document& document, const std::string& pointer,
                              Diagnostics& diagnostics);

// The document of a config.json, of a checkpoint folder that holds one, or of a preset
// ("deepseek-r1", "deepseek-v3", "tiny-r1"). Throws InputError, with a did-you-mean.
Document load_model_document(const std::string& file_or_preset,
                             const std::filesystem::path& relative_to);
const std::vector<std::string>& model_presets();
Json model_preset(const std::string& name);  // a preset's config.json

}  // namespace r1
