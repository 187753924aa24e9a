// Built-in model configurations (declared in model_config.hpp).
#include "model/base/check.hpp"
#include "model/base/json.hpp"
#include "model/config/model_config.hpp"

namespace r1 {

namespace {

// The published deepseek-ai/DeepSeek-R1 config.json; DeepSeek-V3's has the same architecture.
Json deepseek_v3() {
    return {{"model_type", "deepseek_v3"},
            {"vocab_size", 129280},
            {"hidden_size", 7168},
            {"intermediate_size", 18432},
            {"moe_intermediate_size", 2048},
            {"num_hidden_layers", 61},
            {"num_nextn_predict_layers", 1},
            {"num_attention_heads", 128},
            {"n_shared_experts", 1},
            {"n_routed_experts", 256},
            {"num_experts_per_tok", 8},
            {"n_group", 8},
            {"topk_group", 4},
            {"first_k_dense_replace", 3},
            {"moe_layer_freq", 1},
            {"q_lora_rank", 1536},
            {"kv_lora_rank", 512},
            {"qk_nope_head_dim", 128},
            {"qk_rope_head_dim", 64},
            {"v_head_dim", 128},
            {"max_position_embeddings", 163840},
            {"routed_scaling_factor", 2.5},
            {"rms_norm_eps", 1e-6},
            {"rope_theta", 10000},
            {"rope_scaling",
             {{"type", "yarn"},
              {"factor", 40},
              {"beta_fast", 32},
              {"beta_slow", 1},
              {"mscale", 1.0},
              {"mscale_all_dim", 1.0},
              {"original_max_position_embeddings", 4096}}},
            {"scoring_func", "sigmoid"},
            {"topk_method", "noaux_tc"},
            {"norm_topk_prob", true},
            {"tie_word_embeddings", false},
            {"quantization_config",
             {{"quant_method", "fp8"},
              {"fmt", "e4m3"},
              {"activation_scheme", "dynamic"},
              {"weight_block_size", {128, 128}}}}};
}

// A few hundred thousand parameters with every mechanism on: a dense layer, MoE layers with
// grouped routing, q_lora, MTP, YaRN. Runs in seconds on one core.
Json tiny_r1() {
    Json config = deepseek_v3();
    config["vocab_size"] = 512;
    config["hidden_size"] = 128;
    config["intermediate_size"] = 256;
    config["moe_intermediate_size"] = 64;
    config["num_hidden_layers"] = 7;
    config["num_attention_heads"] = 4;
    config["n_routed_experts"] = 16;
    config["num_experts_per_tok"] = 4;
    config["n_group"] = 4;
    config["topk_group"] = 2;
    config["first_k_dense_replace"] = 1;
    config["q_lora_rank"] = 64;
    config["kv_lora_rank"] = 32;
    config["qk_nope_head_dim"] = 32;
    config["qk_rope_head_dim"] = 16;
    config["v_head_dim"] = 32;
    config["max_position_embeddings"] = 2560;
    config["rope_scaling"]["original_max_position_embeddings"] = 64;
    return config;
}

}  // namespace

const std::vector<std::string>& model_presets() {
    static const std::vector<std::string> names = {"deepseek-r1", "deepseek-v3", "tiny-r1"};
    return names;
}

Json model_preset(const std::string& name) {
    if (name == "tiny-r1") {
        return tiny_r1();
    }
    R1_CHECK(name == "deepseek-r1" || name == "deepseek-v3");
    return deepseek_v3();
}

}  // namespace r1
