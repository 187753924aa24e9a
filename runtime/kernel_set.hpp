// The kernels that a device has, by the names of kernels/: what a graph's ops are made of, whatever
// the device. A null pointer: the device has none, and ops that need it throw FeatureError. Sizes
// of workspaces are null where a kernel needs no workspace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/adamw.hpp"
#include "kernels/add_rows.hpp"
#include "kernels/bias_update.hpp"
#include "kernels/concat.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/cross_entropy_backward.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/dequantize_fp8.hpp"
#include "kernels/ema_update.hpp"
#include "kernels/embedding.hpp"
#include "kernels/embedding_backward.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_bf16_wgrad.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "kernels/gradient_norm.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_bf16_wgrad.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "kernels/mla_attention.hpp"
#include "kernels/mla_attention_backward.hpp"
#include "kernels/mla_decode.hpp"
#include "kernels/mla_prefill.hpp"
#include "kernels/permute.hpp"
#include "kernels/quantize_e5m6.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/quantize_weight_fp8.hpp"
#include "kernels/requantize_transpose_fp8.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rms_norm_backward.hpp"
#include "kernels/rope.hpp"
#include "kernels/rope_backward.hpp"
#include "kernels/router_topk.hpp"
#include "kernels/router_topk_backward.hpp"
#include "kernels/sample.hpp"
#include "kernels/split.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/swiglu_backward.hpp"
#include "kernels/unpermute.hpp"

namespace r1 {

struct KernelSet {
    template <class Args>
    using Kernel = void (*)(const Args& args, const cuda::Launch& launch);
    template <class Args>
    using Bytes = std::size_t (*)(const Args& args);

    Kernel<AdamwArgs> adamw = nullptr;
    Kernel<AddRowsArgs> add_rows = nullptr;
    Kernel<BiasUpdateArgs> bias_update = nullptr;
    Kernel<ConcatArgs> concat = nullptr;
    Kernel<CrossEntropyArgs> cross_entropy = nullptr;
    Kernel<CrossEntropyBackwardArgs> cross_entropy_backward = nullptr;
    Kernel<DequantizeE5m6Args> dequantize_e5m6 = nullptr;
    Kernel<DequantizeFp8Args> dequantize_fp8 = nullptr;
    Kernel<EmaUpdateArgs> ema_update = nullptr;
    Kernel<EmbeddingArgs> embedding = nullptr;
    Kernel<EmbeddingBackwardArgs> embedding_backward = nullptr;
    Kernel<ExpertLoadArgs> expert_load = nullptr;
    Kernel<GemmBf16Args> gemm_bf16 = nullptr;
    Kernel<GemmBf16WgradArgs> gemm_bf16_wgrad = nullptr;
    Kernel<GemmFp8Args> gemm_fp8 = nullptr;
    Kernel<GemmFp8WgradArgs> gemm_fp8_wgrad = nullptr;
    Kernel<GradientNormArgs> gradient_norm = nullptr;
    Kernel<GroupedGemmBf16Args> grouped_gemm_bf16 = nullptr;
    Kernel<GroupedGemmBf16WgradArgs> grouped_gemm_bf16_wgrad = nullptr;
    Kernel<GroupedGemmFp8Args> grouped_gemm_fp8 = nullptr;
    Kernel<GroupedGemmFp8WgradArgs> grouped_gemm_fp8_wgrad = nullptr;
    Kernel<LocalRouteArgs> local_route = nullptr;
    Kernel<MlaAttentionArgs> mla_attention = nullptr;
    Kernel<MlaAttentionBackwardArgs> mla_attention_backward = nullptr;
    Kernel<MlaCachedArgs> mla_decode = nullptr;
    Kernel<MlaCachedArgs> mla_prefill = nullptr;
    Kernel<PermuteArgs> permute = nullptr;
    Kernel<PermuteAgainArgs> permute_again = nullptr;
    Kernel<QuantizeE5m6Args> quantize_e5m6 = nullptr;
    Kernel<QuantizeFp8Args> quantize_fp8 = nullptr;
    Kernel<QuantizeWeightFp8Args> quantize_weight_fp8 = nullptr;
    Kernel<RequantizeTransposeFp8Args> requantize_transpose_fp8 = nullptr;
    Kernel<ResidualAddArgs> residual_add = nullptr;
    Kernel<RmsNormArgs> rms_norm = nullptr;
    Kernel<RmsNormBackwardArgs> rms_norm_backward = nullptr;
    Kernel<RopeArgs> rope = nullptr;
    Kernel<RopeBackwardArgs> rope_backward = nullptr;
    Kernel<RopeLatentArgs> rope_latent = nullptr;
    Kernel<RouterTopkArgs> router_topk = nullptr;
    Kernel<RouterTopkBackwardArgs> router_topk_backward = nullptr;
    Kernel<SampleArgs> sample = nullptr;
    Kernel<SplitArgs> split = nullptr;
    Kernel<SwigluArgs> swiglu = nullptr;
    Kernel<SwigluBackwardArgs> swiglu_backward = nullptr;
    Kernel<UnpermuteArgs> unpermute = nullptr;

    Bytes<GemmBf16Args> gemm_bf16_workspace_bytes = nullptr;
    Bytes<GemmBf16WgradArgs> gemm_bf16_wgrad_workspace_bytes = nullptr;
    Bytes<GemmFp8Args> gemm_fp8_workspace_bytes = nullptr;
    Bytes<GemmFp8WgradArgs> gemm_fp8_wgrad_workspace_bytes = nullptr;
    Bytes<GradientNormArgs> gradient_norm_workspace_bytes = nullptr;
    Bytes<GroupedGemmBf16Args> grouped_gemm_bf16_workspace_bytes = nullptr;
    Bytes<GroupedGemmBf16WgradArgs> grouped_gemm_bf16_wgrad_workspace_bytes = nullptr;
    Bytes<GroupedGemmFp8Args> grouped_gemm_fp8_workspace_bytes = nullptr;
    Bytes<GroupedGemmFp8WgradArgs> grouped_gemm_fp8_wgrad_workspace_bytes = nullptr;
    Bytes<MlaAttentionArgs> mla_attention_workspace_bytes = nullptr;
    Bytes<MlaAttentionBackwardArgs> mla_attention_backward_workspace_bytes = nullptr;
    Bytes<MlaCachedArgs> mla_decode_workspace_bytes = nullptr;
    Bytes<MlaCachedArgs> mla_prefill_workspace_bytes = nullptr;
    Bytes<RmsNormBackwardArgs> rms_norm_backward_workspace_bytes = nullptr;
    Bytes<SampleArgs> sample_workspace_bytes = nullptr;
    Bytes<UnpermuteArgs> unpermute_workspace_bytes = nullptr;
};

}  // namespace r1
