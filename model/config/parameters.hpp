// The exact tensors of a checkpoint, and what follows from them: parameter counts, KV cache,
// FLOPs per token.
#pragma once

#include <string>
#include <vector>

#include "model/base/dtype.hpp"
#include "model/config/model_config.hpp"

namespace r1 {

struct Parameter {
    std::string name;                 // as released, "model.layers.3.mlp.experts.0.up_proj.weight"
    std::vector<std::int64_t> shape;  // [out, in] for projections
    std::int64_t layer = -1;          // -1: embedding, final norm, head
    bool routed_expert = false;
    bool copy = false;  // the MTP layer's copies of embedding and head

    [[nodiscard]] std::int64_t count() const;
};

// In the order of the released checkpoints: embedding, layers, MTP layers, norm, head.
std::vector<Parameter> parameter_inventory(const ModelConfig& config);

struct ParameterCounts {
    std::int64_t total = 0;             // trunk, without MTP
    std::int64_t active_per_token = 0;  // trunk, routed experts at top-k
    std::int64_t active_per_token_without_embedding = 0;
    std::int64_t mtp = 0;  // without the copies
};
ParameterCounts count_parameters(const ModelConfig& config);

// Latent KV cache of all trunk layers: kv_lora_rank + qk_rope_head_dim values a layer.
Bytes kv_cache_bytes_per_token(const ModelConfig& config, DType dtype = DType::bf16);

// Model FLOPs as MFU counts them (design, section 6): head included; embedding lookup, MTP,
// normalisation and recomputation excluded. causal counts half of the attention matrix.
Flops forward_flops_per_token(const ModelConfig& config, std::int64_t sequence_length, bool causal);
Flops training_flops_per_token(const ModelConfig& config, std::int64_t sequence_length,
                               bool causal);

}  // namespace r1
