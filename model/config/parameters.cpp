#include "model/config/parameters.hpp"

#include <functional>
#include <numeric>

namespace r1 {

namespace {

class Inventory {
public:
    explicit Inventory(const ModelConfig& config) : config_(config) {}

    std::vector<Parameter> take() && { return std::move(parameters_); }

    void trunk_embedding() { add("model.embed_tokens.weight", {c().vocab_size, c().hidden_size}); }

    void trunk_head() {
        layer_ = -1;
        add("model.norm.weight", {c().hidden_size});
        if (!c().tie_word_embeddings) {
            add("lm_head.weight", {c().vocab_size, c().hidden_size});
        }
    }

    void decoder_layer(std::int64_t layer) {
        layer_ = layer;
        prefix_ = "model.layers." + std::to_string(layer) + ".";
        add(prefix_ + "input_layernorm.weight", {c().hidden_size});
        attention();
        add(prefix_ + "post_attention_layernorm.weight", {c().hidden_size});
        if (c().is_moe(layer)) {
            moe();
        } else {
            mlp(prefix_ + "mlp.", c().intermediate_size, false);
        }
    }

    void mtp_layer(std::int64_t layer) {
        decoder_layer(layer);
        const std::int64_t hidden = c().hidden_size;
        add_copy(prefix_ + "embed_tokens.weight", {c().vocab_size, hidden});
        add(prefix_ + "enorm.weight", {hidden});
        add(prefix_ + "hnorm.weight", {hidden});
        add(prefix_ + "eh_proj.weight", {hidden, 2 * hidden});
        add(prefix_ + "shared_head.norm.weight", {hidden});
        add_copy(prefix_ + "shared_head.head.weight", {c().vocab_size, hidden});
    }

private:
    [[nodiscard]] const ModelConfig& c() const { return config_; }

    void add(std::string name, std::vector<std::int64_t> shape, bool routed = false) {
        parameters_.push_back({std::move(name), std::move(shape), layer_, routed, false});
    }
    void add_copy(std::string name, std::vector<std::int64_t> shape) {
        parameters_.push_back({std::move(name), std::move(shape), layer_, false, true});
    }

    void attention() {
        const std::string p = prefix_ + "self_attn.";
        if (c().q_lora_rank > 0) {
            add(p + "q_a_proj.weight", {c().q_lora_rank, c().hidden_size});
            add(p + "q_a_layernorm.weight", {c().q_lora_rank});
            add(p + "q_b_proj.weight", {c().query_dim(), c().q_lora_rank});
        } else {
            add(p + "q_proj.weight", {c().query_dim(), c().hidden_size});
        }
        add(p + "kv_a_proj_with_mqa.weight",
            {c().kv_lora_rank + c().qk_rope_head_dim, c().hidden_size});
        add(p + "kv_a_layernorm.weight", {c().kv_lora_rank});
        add(p + "kv_b_proj.weight",
            {c().num_attention_heads * (c().qk_nope_head_dim + c().v_head_dim), c().kv_lora_rank});
        add(p + "o_proj.weight", {c().hidden_size, c().value_dim()});
    }

    void mlp(const std::string& p, std::int64_t width, bool routed) {
        add(p + "gate_proj.weight", {width, c().hidden_size}, routed);
        add(p + "up_proj.weight", {width, c().hidden_size}, routed);
        add(p + "down_proj.weight", {c().hidden_size, width}, routed);
    }

    void moe() {
        const std::string p = prefix_ + "mlp.";
        add(p + "gate.weight", {c().n_routed_experts, c().hidden_size});
        if (c().topk_method == TopkMethod::noaux_tc) {
            add(p + "gate.e_score_correction_bias", {c().n_routed_experts});
        }
        for (std::int64_t expert = 0; expert < c().n_routed_experts; ++expert) {
            mlp(p + "experts." + std::to_string(expert) + ".", c().moe_intermediate_size, true);
        }
        if (c().n_shared_experts > 0) {
            mlp(p + "shared_experts.", c().n_shared_experts * c().moe_intermediate_size, false);
        }
    }

    const ModelConfig& config_;
    std::vector<Parameter> parameters_;
    std::string prefix_;
    std::int64_t layer_ = -1;
};

// FLOPs of one token through the matrices of a decoder layer, attention core excluded.
double layer_matrix_flops(const ModelConfig& c, std::int64_t layer) {
    const double hidden = static_cast<double>(c.hidden_size);
    double weights = 0;
    if (c.q_lora_rank > 0) {
        weights +=
            static_cast<double>(c.q_lora_rank) * (hidden + static_cast<double>(c.query_dim()));
    } else {
        weights += hidden * static_cast<double>(c.query_dim());
    }
    weights += hidden * static_cast<double>(c.kv_lora_rank + c.qk_rope_head_dim);
    weights += static_cast<double>(c.kv_lora_rank * c.num_attention_heads *
                                   (c.qk_nope_head_dim + c.v_head_dim));
    weights += hidden * static_cast<double>(c.value_dim());
    if (c.is_moe(layer)) {
        const std::int64_t experts = c.num_experts_per_tok + c.n_shared_experts;
        weights += 3 * hidden * static_cast<double>(experts * c.moe_intermediate_size);
        weights += hidden * static_cast<double>(c.n_routed_experts);
    } else {
        weights += 3 * hidden * static_cast<double>(c.intermediate_size);
    }
    return 2 * weights;
}

}  // namespace

std::int64_t Parameter::count() const {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<Parameter> parameter_inventory(const ModelConfig& config) {
    Inventory inventory(config);
    inventory.trunk_embedding();
    for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
        inventory.decoder_layer(layer);
    }
    for (std::int64_t mtp = 0; mtp < config.num_nextn_predict_layers; ++mtp) {
        inventory.mtp_layer(config.num_hidden_layers + mtp);
    }
    inventory.trunk_head();
    return std::move(inventory).take();
}

ParameterCounts count_parameters(const ModelConfig& config) {
    ParameterCounts counts;
    std::int64_t routed = 0;
    std::int64_t embedding = 0;
    for (const Parameter& parameter : parameter_inventory(config)) {
        const std::int64_t count = parameter.count();
        if (parameter.layer >= config.num_hidden_layers) {
            counts.mtp += parameter.copy ? 0 : count;
            continue;
        }
        counts.total += count;
        routed += parameter.routed_expert ? count : 0;
        embedding += parameter.name == "model.embed_tokens.weight" ? count : 0;
    }
    const std::int64_t routed_active =
        config.has_experts() ? routed / config.n_routed_experts * config.num_experts_per_tok : 0;
    counts.active_per_token = counts.total - routed + routed_active;
    // A tied embedding is also the head, which every token multiplies.
    counts.active_per_token_without_embedding =
        counts.active_per_token - (config.tie_word_embeddings ? 0 : embedding);
    return counts;
}

Bytes kv_cache_bytes_per_token(const ModelConfig& config, DType dtype) {
    return size_of(dtype, static_cast<double>((config.kv_lora_rank + config.qk_rope_head_dim) *
                                              config.num_hidden_layers));
}

Flops forward_flops_per_token(const ModelConfig& config, std::int64_t sequence_length,
                              bool causal) {
    double flops = 2 * static_cast<double>(config.hidden_size * config.vocab_size);  // head
    // Scores and values of one token against the sequence; the causal mask keeps half on average.
    const double attention = 2 * static_cast<double>(config.num_attention_heads) *
                             static_cast<double>(config.qk_head_dim() + config.v_head_dim) *
                             static_cast<double>(sequence_length) * (causal ? 0.5 : 1.0);
    for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
        flops += layer_matrix_flops(config, layer) + attention;
    }
    return Flops(flops);
}

Flops training_flops_per_token(const ModelConfig& config, std::int64_t sequence_length,
                               bool causal) {
    return 3 * forward_flops_per_token(config, sequence_length, causal);
}

}  // namespace r1
