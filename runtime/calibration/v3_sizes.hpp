// Sizes of DeepSeek-V3 (its config.json) that calibrations measure kernels at.
#pragma once

#include <cstdint>

namespace r1::v3 {

inline constexpr std::int64_t kHidden = 7168;        // hidden_size
inline constexpr std::int64_t kVocabulary = 129280;  // vocab_size
inline constexpr std::int64_t kExperts = 256;        // n_routed_experts
inline constexpr std::int64_t kExpertsPerToken = 8;  // num_experts_per_tok
inline constexpr std::int64_t kExpertGroups = 8;     // n_group
inline constexpr std::int64_t kGroupsPerToken = 4;   // topk_group
inline constexpr std::int64_t kExpertWidth = 2048;   // moe_intermediate_size
inline constexpr std::int64_t kHeads = 128;          // num_attention_heads
inline constexpr std::int64_t kNopeDim = 128;        // qk_nope_head_dim
inline constexpr std::int64_t kRopeDim = 64;         // qk_rope_head_dim
inline constexpr std::int64_t kValueDim = 128;       // v_head_dim
inline constexpr std::int64_t kLatent = 512;         // kv_lora_rank
inline constexpr float kScalingFactor = 2.5F;        // routed_scaling_factor
inline constexpr double kRopeTheta = 10000;          // rope_theta
inline constexpr std::int64_t kQkDim = kNopeDim + kRopeDim;

}  // namespace r1::v3
