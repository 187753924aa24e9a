// The CPU's kernel table: arguments of kernels/cpu from those of ops.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/matrix.hpp"
#include "kernels/quantize_fp8.hpp"
#include "runtime/cpu_device.hpp"

namespace r1 {

// The first element, of activations, inputs and plain parameters.
template <class T>
T* data_of(const TensorArg& arg) {
    std::byte* data =
        arg.weight != nullptr ? const_cast<std::byte*>(arg.weight->data.data()) : arg.data;
    return reinterpret_cast<T*>(data);
}

inline Matrix matrix(const TensorArg& arg) { return {data_of<void>(arg), arg.stored, arg.width()}; }

// The backward pass also repeats ops of the forward pass, so the phase does not tell gradients from
// activations; the name does.
inline bool makes_gradient(const OpCall& call) {
    return call.outputs[0].tensor->name.find(".grad") != std::string::npos;
}
inline float amax_min(const OpCall& call) {
    return makes_gradient(call) ? kGradientAmaxMin : kQuantizeAmaxMin;
}

// cpu_matrix.cpp: products and precision; FP8 or plain.
void run_quantize_fp8(const CpuDevice& device, const OpCall& call);
void run_dequantize_fp8(const CpuDevice& device, const OpCall& call);
void run_gemm(const CpuDevice& device, const OpCall& call);
std::size_t gemm_workspace(const OpCall& call);
void run_grouped_gemm(const CpuDevice& device, const OpCall& call);
std::size_t grouped_gemm_workspace(const OpCall& call);

// cpu_gradients.cpp: weight gradients, and operands for them.
void run_requantize_transpose(const CpuDevice& device, const OpCall& call);
void run_gemm_wgrad(const CpuDevice& device, const OpCall& call);
std::size_t gemm_wgrad_workspace(const OpCall& call);
void run_grouped_gemm_wgrad(const CpuDevice& device, const OpCall& call);
std::size_t grouped_gemm_wgrad_workspace(const OpCall& call);

// cpu_backward.cpp: the other backward ops.
void run_rms_norm_backward(const CpuDevice& device, const OpCall& call);
std::size_t rms_norm_backward_workspace(const OpCall& call);
void run_swiglu_backward(const CpuDevice& device, const OpCall& call);
void run_rope_backward(const CpuDevice& device, const OpCall& call);
std::size_t rope_backward_workspace(const OpCall& call);
void run_mla_attention_backward(const CpuDevice& device, const OpCall& call);
std::size_t mla_attention_backward_workspace(const OpCall& call);
void run_embedding_backward(const CpuDevice& device, const OpCall& call);
void run_split(const CpuDevice& device, const OpCall& call);
void run_cross_entropy_backward(const CpuDevice& device, const OpCall& call);
void run_router_topk_backward(const CpuDevice& device, const OpCall& call);

// cpu_attention.cpp: rotation, the latent cache, attention in its three forms.
// Positions of whole sequences, 0, 1, … and again, in the workspace: [tokens].
const std::int32_t* sequence_positions(const OpCall& call);
void run_rope(const CpuDevice& device, const OpCall& call);
std::size_t rope_workspace(const OpCall& call);
void run_rope_query(const CpuDevice& device, const OpCall& call);
void run_cache_latent(const CpuDevice& device, const OpCall& call);
void run_mla_attention(const CpuDevice& device, const OpCall& call);
std::size_t mla_attention_workspace(const OpCall& call);
void run_mla_prefill(const CpuDevice& device, const OpCall& call);
std::size_t mla_prefill_workspace(const OpCall& call);
void run_mla_decode(const CpuDevice& device, const OpCall& call);
std::size_t mla_decode_workspace(const OpCall& call);

// cpu_tokens.cpp: embedding, loss, next tokens.
void run_embedding(const CpuDevice& device, const OpCall& call);
void run_cross_entropy(const CpuDevice& device, const OpCall& call);
void run_sample(const CpuDevice& device, const OpCall& call);
std::size_t sample_workspace(const OpCall& call);
void run_argmax(const CpuDevice& device, const OpCall& call);

// cpu_experts.cpp: choice of experts, and tokens to them and back.
void run_router_topk(const CpuDevice& device, const OpCall& call);
void run_permute(const CpuDevice& device, const OpCall& call);
void run_unpermute(const CpuDevice& device, const OpCall& call);
std::size_t unpermute_workspace(const OpCall& call);
void run_local_dispatch(const OpCall& call);
void run_local_combine(const OpCall& call);

}  // namespace r1
