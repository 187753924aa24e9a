// Every kernel that a graph may name, with its signature: what its dimensions mean, how many
// tensors go in and out, and how many matrix FLOPs it does.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "model/graph/extent.hpp"

namespace r1 {

enum class KernelId : std::uint8_t {
    none,
    embedding,
    embedding_backward,
    rms_norm,
    rms_norm_backward,
    quantize_fp8,              // 1x128 tiles, activations
    requantize_transpose_fp8,  // 1x128 tiles to 128x1 tiles, for weight gradients
    dequantize_fp8,
    quantize_weight_fp8,  // 128x128 blocks, after the optimizer step
    gemm_fp8,
    gemm_bf16,
    gemm_fp8_wgrad,  // accumulates into FP32
    gemm_bf16_wgrad,
    grouped_gemm_fp8,
    grouped_gemm_bf16,
    grouped_gemm_fp8_wgrad,
    grouped_gemm_bf16_wgrad,
    rope,
    rope_backward,
    mla_attention,
    mla_attention_backward,
    rope_query,    // queries alone
    cache_latent,  // [normed latent | rotated key] of new tokens into the cache
    mla_prefill,   // over the latent cache, keys and values made from it
    mla_decode,    // over the latent cache, absorbed form
    router_topk,
    router_topk_backward,
    permute,
    unpermute,
    swiglu,
    swiglu_backward,
    residual_add,
    concat,
    split,
    cross_entropy,
    cross_entropy_backward,
    sample,  // next tokens from logits, as the run's sampling settings say
    argmax,
    gradient_norm,
    adamw,
    ema_update,   // moving average of the parameters
    bias_update,  // of the routers, by the experts' load
};
inline constexpr std::size_t kKernelCount = static_cast<std::size_t>(KernelId::bias_update) + 1;

// How a kernel's time follows from its work.
enum class KernelClass : std::uint8_t { gemm, grouped_gemm, attention, memory };

struct KernelSignature {
    KernelId id = KernelId::none;
    std::string_view name;
    KernelClass cost_class = KernelClass::memory;
    std::vector<std::string_view> dims;  // gemm: m, n, k; grouped: groups, m (all groups), n, k
    int inputs_min = 0;
    int inputs_max = 0;
    int outputs_min = 0;
    int outputs_max = 0;
};

// nullptr for KernelId::none and for ids out of the table.
const KernelSignature* kernel_signature(KernelId id);
std::optional<KernelId> parse_kernel(std::string_view name);
std::string_view name(KernelId id);

// Matrix FLOPs (2 per multiply-add) for dims in the order of the signature. Attention counts the
// causal half; its backward has the five products of FlashAttention-2 against two forward.
Extent matrix_flops(KernelId id, const std::vector<Extent>& dims);

}  // namespace r1
