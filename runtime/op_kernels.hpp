// From ops to kernels: arguments of kernels/ from those of ops, the same for every device.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/matrix.hpp"
#include "kernels/quantize_fp8.hpp"
#include "kernels/workspace.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/device.hpp"

namespace r1 {

// Runs a kernel of the device's set. Throws FeatureError if there is none.
template <class Args>
void run(const Device& device, const OpCall& call,
         void (*KernelSet::*which)(const Args&, const cuda::Launch&),
         const std::type_identity_t<Args>& args) {
    const auto kernel = device.kernels().*which;
    if (kernel == nullptr) {
        throw FeatureError("the device '" + device.name() + "' has no kernel for " +
                           std::string(kind_name(call.op)));
    }
    kernel(args, device.launch(call.comm_sms));
}

// Bytes of workspace that it needs.
template <class Args>
std::size_t bytes(const Device& device, std::size_t (*KernelSet::*which)(const Args&),
                  const std::type_identity_t<Args>& args) {
    const auto of = device.kernels().*which;
    return of == nullptr ? 0 : of(args);
}

// Values that the host knows, at the front of the op's workspace.
template <class T>
const T* to_workspace(const Device& device, const OpCall& call, const std::vector<T>& values) {
    auto* data = Carver(call.workspace).take<T>(static_cast<std::int64_t>(values.size()));
    device.memory().copy(data, values.data(), values.size() * sizeof(T));
    return data;
}

// The first element, of activations, inputs and plain parameters.
template <class T>
T* data_of(const TensorArg& arg) {
    const std::byte* data = arg.weight != nullptr ? arg.weight->data.data() : arg.data;
    return reinterpret_cast<T*>(const_cast<std::byte*>(data));
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

// What chooses between kernels, for those who run an op and those who only ask which it needs.
// Where a product's weight stands: {x, w}, or {x, x scale, w, w scale}.
inline std::size_t weight_index(const OpCall& call) {
    return call.inputs[1].tensor->role == TensorRole::parameter ? 1 : 2;
}
inline bool multiplies_fp8(const OpCall& call) {
    return call.inputs[weight_index(call)].stored == DType::e4m3;
}
inline bool is_quantized(const OpCall& call) { return call.inputs[0].stored == DType::e4m3; }
// {gradient, input}: operands as they are, not transposed ones.
inline bool is_plain_wgrad(const OpCall& call) { return call.inputs.size() == 2; }
// By a map that another permutation made.
inline bool repeats_permutation(const OpCall& call) { return call.outputs.size() < 4; }
inline bool counts_experts(const OpCall& call) { return call.outputs.size() > 2; }

// op_matrix.cpp: products and precision; FP8 or plain.
void run_quantize_fp8(const Device& device, const OpCall& call);
void run_dequantize_fp8(const Device& device, const OpCall& call);
void run_gemm(const Device& device, const OpCall& call);
std::size_t gemm_workspace(const Device& device, const OpCall& call);
void run_grouped_gemm(const Device& device, const OpCall& call);
std::size_t grouped_gemm_workspace(const Device& device, const OpCall& call);

// op_gradients.cpp: weight gradients, and operands for them.
void run_requantize_transpose(const Device& device, const OpCall& call);
void run_gemm_wgrad(const Device& device, const OpCall& call);
std::size_t gemm_wgrad_workspace(const Device& device, const OpCall& call);
void run_grouped_gemm_wgrad(const Device& device, const OpCall& call);
std::size_t grouped_gemm_wgrad_workspace(const Device& device, const OpCall& call);

// op_backward.cpp: the other backward ops.
void run_rms_norm_backward(const Device& device, const OpCall& call);
std::size_t rms_norm_backward_workspace(const Device& device, const OpCall& call);
void run_swiglu_backward(const Device& device, const OpCall& call);
void run_rope_backward(const Device& device, const OpCall& call);
std::size_t rope_backward_workspace(const Device& device, const OpCall& call);
void run_mla_attention_backward(const Device& device, const OpCall& call);
std::size_t mla_attention_backward_workspace(const Device& device, const OpCall& call);
void run_embedding_backward(const Device& device, const OpCall& call);
void run_split(const Device& device, const OpCall& call);
void run_cross_entropy_backward(const Device& device, const OpCall& call);
void run_router_topk_backward(const Device& device, const OpCall& call);

// op_attention.cpp: rotation, the latent cache, attention in its three forms.
// Positions of whole sequences, 0, 1, … and again, in the workspace: [tokens].
const std::int32_t* sequence_positions(const Device& device, const OpCall& call);
void run_rope(const Device& device, const OpCall& call);
std::size_t rope_workspace(const Device& device, const OpCall& call);
void run_rope_query(const Device& device, const OpCall& call);
void run_cache_latent(const Device& device, const OpCall& call);
void run_mla_attention(const Device& device, const OpCall& call);
std::size_t mla_attention_workspace(const Device& device, const OpCall& call);
void run_mla_prefill(const Device& device, const OpCall& call);
std::size_t mla_prefill_workspace(const Device& device, const OpCall& call);
void run_mla_decode(const Device& device, const OpCall& call);
std::size_t mla_decode_workspace(const Device& device, const OpCall& call);

// op_tokens.cpp: embedding, loss, next tokens.
void run_embedding(const Device& device, const OpCall& call);
void run_cross_entropy(const Device& device, const OpCall& call);
void run_sample(const Device& device, const OpCall& call);
std::size_t sample_workspace(const Device& device, const OpCall& call);
void run_argmax(const Device& device, const OpCall& call);

// op_experts.cpp: choice of experts, and tokens to them and back.
void run_router_topk(const Device& device, const OpCall& call);
void run_permute(const Device& device, const OpCall& call);
void run_unpermute(const Device& device, const OpCall& call);
std::size_t unpermute_workspace(const Device& device, const OpCall& call);
void run_local_dispatch(const Device& device, const OpCall& call);
void run_local_combine(const Device& device, const OpCall& call);

}  // namespace r1
