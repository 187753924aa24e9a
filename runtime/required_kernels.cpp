#include "runtime/required_kernels.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/base/diagnostics.hpp"
#include "runtime/op_call.hpp"
#include "runtime/op_kernels.hpp"

namespace r1 {

namespace {

// A member of KernelSet.
struct NamedKernel {
    std::string_view name;
    bool (*is_in)(const KernelSet& set);
};

template <auto member>
constexpr NamedKernel named(std::string_view name) {
    return {name, [](const KernelSet& set) { return set.*member != nullptr; }};
}

using Set = KernelSet;
constexpr NamedKernel kAddRows = named<&Set::add_rows>("add_rows");
constexpr NamedKernel kDequantizeE5m6 = named<&Set::dequantize_e5m6>("dequantize_e5m6");
constexpr NamedKernel kDequantizeFp8 = named<&Set::dequantize_fp8>("dequantize_fp8");
constexpr NamedKernel kCountExperts = named<&Set::expert_load>("expert_load");
constexpr NamedKernel kGemmBf16 = named<&Set::gemm_bf16>("gemm_bf16");
constexpr NamedKernel kGemmBf16Wgrad = named<&Set::gemm_bf16_wgrad>("gemm_bf16_wgrad");
constexpr NamedKernel kGemmFp8 = named<&Set::gemm_fp8>("gemm_fp8");
constexpr NamedKernel kGemmFp8Wgrad = named<&Set::gemm_fp8_wgrad>("gemm_fp8_wgrad");
constexpr NamedKernel kGroupedGemmBf16 = named<&Set::grouped_gemm_bf16>("grouped_gemm_bf16");
constexpr NamedKernel kGroupedGemmBf16Wgrad =
    named<&Set::grouped_gemm_bf16_wgrad>("grouped_gemm_bf16_wgrad");
constexpr NamedKernel kGroupedGemmFp8 = named<&Set::grouped_gemm_fp8>("grouped_gemm_fp8");
constexpr NamedKernel kGroupedGemmFp8Wgrad =
    named<&Set::grouped_gemm_fp8_wgrad>("grouped_gemm_fp8_wgrad");
constexpr NamedKernel kLocalRoute = named<&Set::local_route>("local_route");
constexpr NamedKernel kPermute = named<&Set::permute>("permute");
constexpr NamedKernel kPermuteAgain = named<&Set::permute_again>("permute_again");
constexpr NamedKernel kQuantizeE5m6 = named<&Set::quantize_e5m6>("quantize_e5m6");
constexpr NamedKernel kQuantizeFp8 = named<&Set::quantize_fp8>("quantize_fp8");
constexpr NamedKernel kQuantizeWeightFp8 = named<&Set::quantize_weight_fp8>("quantize_weight_fp8");
constexpr NamedKernel kResidualAdd = named<&Set::residual_add>("residual_add");
constexpr NamedKernel kRouterTopk = named<&Set::router_topk>("router_topk");

// Ops that are one kernel, however their tensors are stored.
const std::map<KernelId, NamedKernel>& plain_kernels() {
    using K = KernelId;
    static const std::map<KernelId, NamedKernel> table = {
        {K::adamw, named<&Set::adamw>("adamw")},
        {K::argmax, named<&Set::sample>("sample")},
        {K::bias_update, named<&Set::bias_update>("bias_update")},
        {K::cache_latent, named<&Set::rope_latent>("rope_latent")},
        {K::concat, named<&Set::concat>("concat")},
        {K::cross_entropy, named<&Set::cross_entropy>("cross_entropy")},
        {K::cross_entropy_backward, named<&Set::cross_entropy_backward>("cross_entropy_backward")},
        {K::ema_update, named<&Set::ema_update>("ema_update")},
        {K::embedding, named<&Set::embedding>("embedding")},
        {K::embedding_backward, named<&Set::embedding_backward>("embedding_backward")},
        {K::gradient_norm, named<&Set::gradient_norm>("gradient_norm")},
        {K::mla_attention, named<&Set::mla_attention>("mla_attention")},
        {K::mla_attention_backward, named<&Set::mla_attention_backward>("mla_attention_backward")},
        {K::mla_decode, named<&Set::mla_decode>("mla_decode")},
        {K::mla_prefill, named<&Set::mla_prefill>("mla_prefill")},
        {K::requantize_transpose_fp8,
         named<&Set::requantize_transpose_fp8>("requantize_transpose_fp8")},
        {K::residual_add, kResidualAdd},
        {K::rms_norm, named<&Set::rms_norm>("rms_norm")},
        {K::rms_norm_backward, named<&Set::rms_norm_backward>("rms_norm_backward")},
        {K::rope, named<&Set::rope>("rope")},
        {K::rope_backward, named<&Set::rope_backward>("rope_backward")},
        {K::rope_query, named<&Set::rope>("rope")},
        {K::router_topk_backward, named<&Set::router_topk_backward>("router_topk_backward")},
        {K::sample, named<&Set::sample>("sample")},
        {K::split, named<&Set::split>("split")},
        {K::swiglu, named<&Set::swiglu>("swiglu")},
        {K::swiglu_backward, named<&Set::swiglu_backward>("swiglu_backward")},
        {K::unpermute, named<&Set::unpermute>("unpermute")},
    };
    return table;
}

NamedKernel quantization(const OpCall& call) {
    if (call.outputs[0].stored == DType::e5m6) {
        return kQuantizeE5m6;
    }
    return call.policy.fp8 == Fp8Mode::dequantize ? kResidualAdd : kQuantizeFp8;
}

NamedKernel dequantization(const OpCall& call) {
    switch (call.inputs[0].stored) {
        case DType::e5m6: return kDequantizeE5m6;
        case DType::e4m3: return kDequantizeFp8;
        default: return kResidualAdd;
    }
}

NamedKernel weight_gradient(const OpCall& call) {
    if (is_plain_wgrad(call)) {
        return kGemmBf16Wgrad;
    }
    return is_quantized(call) ? kGemmFp8Wgrad : kGemmBf16;
}

// As op_*.cpp choose. Not of kernels that no device runs.
std::vector<NamedKernel> kernels_of(const OpCall& call) {
    const KernelId kernel = call.op.compute()->kernel;
    const auto plain = plain_kernels().find(kernel);
    if (plain != plain_kernels().end()) {
        return {plain->second};
    }
    switch (kernel) {
        case KernelId::quantize_fp8: return {quantization(call)};
        case KernelId::dequantize_fp8: return {dequantization(call)};
        case KernelId::gemm_fp8:
        case KernelId::gemm_bf16: return {multiplies_fp8(call) ? kGemmFp8 : kGemmBf16};
        case KernelId::grouped_gemm_fp8:
        case KernelId::grouped_gemm_bf16:
            return {multiplies_fp8(call) ? kGroupedGemmFp8 : kGroupedGemmBf16};
        case KernelId::gemm_fp8_wgrad:
        case KernelId::gemm_bf16_wgrad: return {weight_gradient(call)};
        case KernelId::grouped_gemm_fp8_wgrad:
        case KernelId::grouped_gemm_bf16_wgrad:
            return {is_quantized(call) ? kGroupedGemmFp8Wgrad : kGroupedGemmBf16Wgrad};
        case KernelId::permute: return {repeats_permutation(call) ? kPermuteAgain : kPermute};
        case KernelId::router_topk:
            return counts_experts(call) ? std::vector{kRouterTopk, kCountExperts}
                                        : std::vector{kRouterTopk};
        default: return {};  // quantize_weight_fp8: parameters are stored as they are
    }
}

std::vector<NamedKernel> kernels_of(const CommOp& op, const Instances& instances, bool trains) {
    switch (op.collective) {
        case Collective::dispatch:
            if (instances.expert_parallel > 1) {
                return {kPermuteAgain};
            }
            // Training records on the host where tokens go.
            return trains ? std::vector<NamedKernel>{} : std::vector{kLocalRoute};
        case Collective::combine:
            return instances.expert_parallel > 1 ? std::vector{kAddRows, kResidualAdd}
                                                 : std::vector<NamedKernel>{};
        case Collective::reduce_scatter:
        case Collective::all_reduce: return {kResidualAdd};
        default: return {};
    }
}

std::map<std::string_view, NamedKernel> needed(const ExecutionGraph& graph,
                                               const ModelConfig& config,
                                               const ExecutionPolicy& policy) {
    std::map<std::string_view, NamedKernel> found;
    const auto add = [&](const std::vector<NamedKernel>& kernels) {
        for (const NamedKernel& kernel : kernels) {
            found.emplace(kernel.name, kernel);
        }
    };
    const bool trains = std::ranges::any_of(graph.templates(), [](const ChunkTemplate& chunk) {
        return std::ranges::any_of(chunk.ops,
                                   [](const Op& op) { return op.phase == Phase::optimizer; });
    });
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            if (const CommOp* comm = op.comm()) {
                add(kernels_of(*comm, graph.instances(), trains));
            } else {
                add(kernels_of(shaped_call(chunk, op, {config, policy}, {})));
            }
        }
    }
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Tensor& tensor : chunk.tensors) {
            if (trains && tensor.role == TensorRole::parameter && !is_scale(tensor)) {
                const bool is_fp8 = stored_as(tensor, policy) == DType::e4m3;
                add({is_fp8 ? kQuantizeWeightFp8 : kResidualAdd});
            }
        }
    }
    return found;
}

}  // namespace

std::set<std::string_view> required_kernels(const ExecutionGraph& graph, const ModelConfig& config,
                                            const ExecutionPolicy& policy) {
    std::set<std::string_view> names;
    for (const auto& [name, kernel] : needed(graph, config, policy)) {
        names.insert(name);
    }
    return names;
}

void require_kernels(const std::vector<std::reference_wrapper<const ExecutionGraph>>& graphs,
                     const ModelConfig& config, const ExecutionPolicy& policy,
                     const DeviceKind& devices) {
    std::set<std::string_view> missing;
    for (const ExecutionGraph& graph : graphs) {
        for (const auto& [name, kernel] : needed(graph, config, policy)) {
            if (!kernel.is_in(devices.kernels)) {
                missing.insert(name);
            }
        }
    }
    if (!missing.empty()) {
        throw FeatureError(fmt::format("the device '{}' has no kernel for {}{}", devices.name,
                                       fmt::join(missing, ", "), devices.lacks));
    }
}

}  // namespace r1
