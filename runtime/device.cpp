#include "runtime/device.hpp"

#include <chrono>
#include <map>

#include <fmt/format.h>

#include "kernels/rope_table.hpp"
#include "model/base/check.hpp"
#include "runtime/op_kernels.hpp"

namespace r1 {

namespace {

void run_rms_norm(const Device& device, const OpCall& c) {
    RmsNormArgs args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    args.epsilon = static_cast<float>(c.config.rms_norm_eps);
    args.x = matrix(c.inputs[0]);
    args.weight = matrix(c.inputs[1]);
    args.y = matrix(c.outputs[0]);
    run(device, c, &KernelSet::rms_norm, args);
}

void run_swiglu(const Device& device, const OpCall& c) {
    SwigluArgs args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    args.gate_up = matrix(c.inputs[0]);
    args.row_weights = c.inputs.size() > 1 ? data_of<float>(c.inputs[1]) : nullptr;
    if (c.outputs[0].stored == DType::e4m3) {
        args.codes = data_of<std::uint8_t>(c.outputs[0]);
        args.scales = data_of<float>(c.outputs[1]);
    } else {
        args.y = matrix(c.outputs[0]);
    }
    run(device, c, &KernelSet::swiglu, args);
}

void run_residual_add(const Device& device, const OpCall& c) {
    ResidualAddArgs args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    args.term_count = static_cast<std::int64_t>(c.inputs.size());
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
        args.terms[i] = matrix(c.inputs[i]);
    }
    args.y = matrix(c.outputs[0]);
    run(device, c, &KernelSet::residual_add, args);
}

void run_concat(const Device& device, const OpCall& c) {
    run(device, c, &KernelSet::concat,
        {c.dims[0], c.inputs[0].width(), c.inputs[1].width(), matrix(c.inputs[0]),
         matrix(c.inputs[1]), matrix(c.outputs[0])});
}

struct OpKernel {
    void (*run)(const Device&, const OpCall&);
    std::size_t (*workspace)(const Device&, const OpCall&) = nullptr;  // none needed
};

const std::map<KernelId, OpKernel>& kernel_table() {
    using K = KernelId;
    static const std::map<KernelId, OpKernel> table = {
        {K::embedding, {run_embedding}},
        {K::rms_norm, {run_rms_norm}},
        {K::quantize_fp8, {run_quantize_fp8}},
        {K::dequantize_fp8, {run_dequantize_fp8}},
        {K::gemm_fp8, {run_gemm, gemm_workspace}},
        {K::gemm_bf16, {run_gemm, gemm_workspace}},
        {K::grouped_gemm_fp8, {run_grouped_gemm, grouped_gemm_workspace}},
        {K::grouped_gemm_bf16, {run_grouped_gemm, grouped_gemm_workspace}},
        {K::rope, {run_rope, rope_workspace}},
        {K::rope_query, {run_rope_query}},
        {K::cache_latent, {run_cache_latent}},
        {K::mla_attention, {run_mla_attention, mla_attention_workspace}},
        {K::mla_prefill, {run_mla_prefill, mla_prefill_workspace}},
        {K::mla_decode, {run_mla_decode, mla_decode_workspace}},
        {K::router_topk, {run_router_topk}},
        {K::permute, {run_permute}},
        {K::unpermute, {run_unpermute, unpermute_workspace}},
        {K::swiglu, {run_swiglu}},
        {K::residual_add, {run_residual_add}},
        {K::concat, {run_concat}},
        {K::cross_entropy, {run_cross_entropy}},
        {K::sample, {run_sample, sample_workspace}},
        {K::argmax, {run_argmax}},
        {K::requantize_transpose_fp8, {run_requantize_transpose}},
        {K::gemm_fp8_wgrad, {run_gemm_wgrad, gemm_wgrad_workspace}},
        {K::gemm_bf16_wgrad, {run_gemm_wgrad, gemm_wgrad_workspace}},
        {K::grouped_gemm_fp8_wgrad, {run_grouped_gemm_wgrad, grouped_gemm_wgrad_workspace}},
        {K::grouped_gemm_bf16_wgrad, {run_grouped_gemm_wgrad, grouped_gemm_wgrad_workspace}},
        {K::rms_norm_backward, {run_rms_norm_backward, rms_norm_backward_workspace}},
        {K::swiglu_backward, {run_swiglu_backward}},
        {K::rope_backward, {run_rope_backward, rope_backward_workspace}},
        {K::mla_attention_backward, {run_mla_attention_backward, mla_attention_backward_workspace}},
        {K::embedding_backward, {run_embedding_backward}},
        {K::split, {run_split}},
        {K::cross_entropy_backward, {run_cross_entropy_backward}},
        {K::router_topk_backward, {run_router_topk_backward}},
    };
    return table;
}

const OpKernel& kernel_of(const Device& device, const Op& op) {
    const auto kernel = kernel_table().find(op.compute()->kernel);
    if (kernel == kernel_table().end()) {
        throw FeatureError("the device '" + device.name() + "' has no kernel for " +
                           std::string(kind_name(op)));
    }
    return kernel->second;
}

RopeSettings rope_settings(const ModelConfig& config) {
    RopeSettings settings;
    settings.dim = config.qk_rope_head_dim;
    settings.theta = config.rope_theta;
    if (config.rope_scaling) {
        settings.yarn = true;
        settings.factor = config.rope_scaling->factor;
        settings.original_positions =
            static_cast<double>(config.rope_scaling->original_max_position_embeddings);
        settings.beta_fast = config.rope_scaling->beta_fast;
        settings.beta_slow = config.rope_scaling->beta_slow;
        settings.mscale = config.rope_scaling->mscale;
        settings.mscale_all_dim = config.rope_scaling->mscale_all_dim;
    }
    return settings;
}

std::vector<float> frequencies(const RopeSettings& settings) {
    std::vector<float> values(static_cast<std::size_t>(settings.dim / 2));
    r1::rope_frequencies(settings, values);
    return values;
}

}  // namespace

TimePs clock_ps() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() * 1000;
}

Device::Device(std::string name, Memory& memory, const KernelSet& kernels,
               const ModelConfig& config)
    : name_(std::move(name)),
      memory_(memory),
      kernels_(kernels),
      frequencies_(memory, std::span<const float>(frequencies(rope_settings(config)))),
      magnitude_(r1::rope_magnitude(rope_settings(config))),
      softmax_scale_(r1::softmax_scale(rope_settings(config), config.qk_head_dim())) {}

void reserve_memory(const DeviceKind& devices, const std::string& whose,
                    std::initializer_list<PlannedPart> parts) {
    if (!devices.reserve) {
        return;
    }
    double sum = 0;
    std::string list;
    for (const PlannedPart& part : parts) {
        sum += part.bytes;
        if (part.bytes > 0) {
            list += fmt::format("{}{} {:.3g} GB", list.empty() ? "" : ", ", part.name,
                                part.bytes / 1e9);
        }
    }
    devices.reserve(static_cast<std::size_t>(sum), "the memory plan" + whose + ": " + list);
}

std::size_t Device::workspace_bytes(const OpCall& call) const {
    if (call.op.compute() == nullptr) {
        return 0;
    }
    const OpKernel& kernel = kernel_of(*this, call.op);
    return kernel.workspace == nullptr ? 0 : kernel.workspace(*this, call);
}

void Device::execute(const OpCall& call) const {
    if (const CommOp* comm = call.op.comm()) {
        if (comm->collective == Collective::dispatch) {
            run_local_dispatch(*this, call);
        } else {
            R1_CHECK(comm->collective == Collective::combine);
            run_local_combine(*this, call);
        }
        return;
    }
    kernel_of(*this, call.op).run(*this, call);
}

}  // namespace r1
