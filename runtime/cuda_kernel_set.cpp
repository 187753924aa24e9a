#include "runtime/cuda_device.hpp"

namespace r1::cuda {

namespace {

void remove_fp8(KernelSet& set) {
    set.dequantize_fp8 = nullptr;
    set.gemm_fp8 = nullptr;
    set.gemm_fp8_wgrad = nullptr;
    set.grouped_gemm_fp8 = nullptr;
    set.grouped_gemm_fp8_wgrad = nullptr;
    set.quantize_fp8 = nullptr;
    set.quantize_weight_fp8 = nullptr;
}

}  // namespace

KernelSet kernels(bool has_fp8) {
    KernelSet set;
    set.adamw = adamw;
    set.add_rows = add_rows;
    set.bias_update = bias_update;
    set.concat = concat;
    set.cross_entropy = cross_entropy;
    set.cross_entropy_backward = cross_entropy_backward;
    set.dequantize_e5m6 = dequantize_e5m6;
    set.dequantize_fp8 = dequantize_fp8;
    set.ema_update = ema_update;
    set.embedding = embedding;
    set.embedding_backward = embedding_backward;
    set.expert_load = expert_load;
    set.gemm_bf16 = gemm_bf16;
    set.gemm_bf16_wgrad = gemm_bf16_wgrad;
    set.gemm_fp8 = gemm_fp8;
    set.gemm_fp8_wgrad = gemm_fp8_wgrad;
    set.gradient_norm = gradient_norm;
    set.grouped_gemm_bf16 = grouped_gemm_bf16;
    set.grouped_gemm_bf16_wgrad = grouped_gemm_bf16_wgrad;
    set.grouped_gemm_fp8 = grouped_gemm_fp8;
    set.grouped_gemm_fp8_wgrad = grouped_gemm_fp8_wgrad;
    set.local_route = local_route;
    set.mla_attention = mla_attention;
    set.mla_attention_backward = mla_attention_backward;
    set.mla_decode = mla_decode;
    set.mla_prefill = mla_prefill;
    set.permute = permute;
    set.permute_again = permute_again;
    set.quantize_e5m6 = quantize_e5m6;
    set.quantize_fp8 = quantize_fp8;
    set.quantize_weight_fp8 = quantize_weight_fp8;
    set.requantize_transpose_fp8 = requantize_transpose_fp8;
    set.residual_add = residual_add;
    set.rms_norm = rms_norm;
    set.rms_norm_backward = rms_norm_backward;
    set.rope = rope;
    set.rope_backward = rope_backward;
    set.rope_latent = rope_latent;
    set.router_topk = router_topk;
    set.router_topk_backward = router_topk_backward;
    set.sample = sample;
    set.split = split;
    set.swiglu = swiglu;
    set.swiglu_backward = swiglu_backward;
    set.unpermute = unpermute;
    set.gemm_bf16_workspace_bytes = gemm_bf16_workspace_bytes;
    set.gemm_bf16_wgrad_workspace_bytes = gemm_bf16_wgrad_workspace_bytes;
    set.gemm_fp8_workspace_bytes = gemm_fp8_workspace_bytes;
    set.gemm_fp8_wgrad_workspace_bytes = gemm_fp8_wgrad_workspace_bytes;
    set.gradient_norm_workspace_bytes = gradient_norm_workspace_bytes;
    set.grouped_gemm_bf16_workspace_bytes = grouped_gemm_bf16_workspace_bytes;
    set.grouped_gemm_bf16_wgrad_workspace_bytes = grouped_gemm_bf16_wgrad_workspace_bytes;
    set.grouped_gemm_fp8_workspace_bytes = grouped_gemm_fp8_workspace_bytes;
    set.grouped_gemm_fp8_wgrad_workspace_bytes = grouped_gemm_fp8_wgrad_workspace_bytes;
    set.mla_attention_workspace_bytes = mla_attention_workspace_bytes;
    set.mla_attention_backward_workspace_bytes = mla_attention_backward_workspace_bytes;
    set.mla_decode_workspace_bytes = mla_decode_workspace_bytes;
    set.mla_prefill_workspace_bytes = mla_prefill_workspace_bytes;
    set.rms_norm_backward_workspace_bytes = rms_norm_backward_workspace_bytes;
    set.sample_workspace_bytes = sample_workspace_bytes;
    set.unpermute_workspace_bytes = unpermute_workspace_bytes;
    if (!has_fp8) {
        remove_fp8(set);
    }
    return set;
}

}  // namespace r1::cuda
