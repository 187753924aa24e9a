#include "runtime/cpu_device.hpp"

#include <array>
#include <cstring>
#include <map>

#include "kernels/concat.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/embedding.hpp"
#include "kernels/permute.hpp"
#include "kernels/residual_add.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rope.hpp"
#include "kernels/rope_table.hpp"
#include "kernels/router_topk.hpp"
#include "kernels/swiglu.hpp"
#include "kernels/unpermute.hpp"
#include "kernels/workspace.hpp"
#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "runtime/cpu_matrix.hpp"

namespace r1 {

namespace {

void run_embedding(CpuDevice&, const OpCall& c) {
    const TensorArg& table = c.inputs[1];
    cpu::embedding({c.dims[0], c.dims[1],
                    static_cast<std::int64_t>(table.tensor->shape.front().constant),
                    data_of<std::int32_t>(c.inputs[0]), matrix(table), matrix(c.outputs[0])});
}

void run_rms_norm(CpuDevice&, const OpCall& c) {
    RmsNormArgs args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    args.epsilon = static_cast<float>(c.config.rms_norm_eps);
    args.x = matrix(c.inputs[0]);
    args.weight = matrix(c.inputs[1]);
    args.y = matrix(c.outputs[0]);
    cpu::rms_norm(args);
}

void run_rope(CpuDevice& device, const OpCall& c) {
    RopeArgs args;
    args.tokens = c.dims[0];
    args.heads = c.config.num_attention_heads;
    args.nope_dim = c.config.qk_nope_head_dim;
    args.rope_dim = c.config.qk_rope_head_dim;
    args.v_dim = c.config.v_head_dim;
    args.kv_lora_rank = c.config.kv_lora_rank;
    args.positions = device.positions(args.tokens, c.sequence_length);
    args.frequencies = device.rope_frequencies().data();
    args.magnitude = device.rope_magnitude();
    args.q = matrix(c.inputs[0]);
    args.kv_a = matrix(c.inputs[1]);
    args.kv = matrix(c.inputs[2]);
    args.q_rope = matrix(c.outputs[0]);
    args.k = matrix(c.outputs[1]);
    cpu::rope(args);
}

void run_router_topk(CpuDevice&, const OpCall& c) {
    const ModelConfig& config = c.config;
    const bool grouped = config.topk_method != TopkMethod::greedy;
    RouterTopkArgs args;
    args.tokens = c.dims[0];
    args.experts = c.dims[1];
    args.experts_per_token = config.num_experts_per_tok;
    args.groups = grouped ? config.n_group : 1;
    args.groups_per_token = grouped ? config.topk_group : 1;
    args.score =
        config.scoring_func == ScoringFunc::sigmoid ? RouterScore::sigmoid : RouterScore::softmax;
    args.group_score = config.topk_method == TopkMethod::noaux_tc ? RouterGroupScore::two_best
                                                                  : RouterGroupScore::best;
    args.normalize = config.norm_topk_prob;
    args.scaling_factor = static_cast<float>(config.routed_scaling_factor);
    args.logits = data_of<float>(c.inputs[0]);
    args.bias = c.inputs.size() > 1 ? data_of<float>(c.inputs[1]) : nullptr;
    args.indices = data_of<std::int32_t>(c.outputs[0]);
    args.weights = data_of<float>(c.outputs[1]);
    cpu::router_topk(args);
}

PermutedBytes permuted(const TensorArg& from, const TensorArg& to) {
    return {static_cast<std::int64_t>(bits(from.stored) / 8) * from.width(), from.data, to.data};
}

// Forward: {data, [scales], route} -> {data, [scales], row_map, row_weights, offsets}.
void run_permute(CpuDevice&, const OpCall& c) {
    const bool scaled = c.inputs.size() == 3;
    R1_CHECK(c.outputs.size() == (scaled ? 5U : 4U));
    const std::size_t map = scaled ? 2 : 1;
    PermuteArgs args;
    args.received = c.received;
    args.slots = c.config.num_experts_per_tok;
    args.experts = static_cast<std::int64_t>(c.outputs[map + 2].tensor->shape[0].constant) - 1;
    args.rows_max = c.dims[0];
    args.route = data_of<float>(c.inputs[map]);
    args.data = permuted(c.inputs[0], c.outputs[0]);
    if (scaled) {
        args.scales = permuted(c.inputs[1], c.outputs[1]);
    }
    args.row_map = data_of<std::int32_t>(c.outputs[map]);
    args.row_weights = data_of<float>(c.outputs[map + 1]);
    args.offsets = data_of<std::int32_t>(c.outputs[map + 2]);
    cpu::permute(args);
}

void run_unpermute(CpuDevice& device, const OpCall& c) {
    UnpermuteArgs args;
    args.rows = c.dims[0];
    args.received = c.received;
    args.width = c.dims[1];
    args.x = matrix(c.inputs[0]);
    args.row_map = data_of<std::int32_t>(c.inputs[1]);
    args.y = matrix(c.outputs[0]);
    args.workspace = device.workspace(cpu::unpermute_workspace_bytes(args));
    cpu::unpermute(args);
}

void run_swiglu(CpuDevice&, const OpCall& c) {
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
    cpu::swiglu(args);
}

void run_residual_add(CpuDevice&, const OpCall& c) {
    ResidualAddArgs args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    args.term_count = static_cast<std::int64_t>(c.inputs.size());
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
        args.terms[i] = matrix(c.inputs[i]);
    }
    args.y = matrix(c.outputs[0]);
    cpu::residual_add(args);
}

void run_concat(CpuDevice&, const OpCall& c) {
    cpu::concat({c.dims[0], c.inputs[0].width(), c.inputs[1].width(), matrix(c.inputs[0]),
                 matrix(c.inputs[1]), matrix(c.outputs[0])});
}

void run_cross_entropy(CpuDevice&, const OpCall& c) {
    cpu::cross_entropy({c.dims[0], c.dims[1], matrix(c.inputs[0]),
                        data_of<std::int32_t>(c.inputs[1]), data_of<float>(c.outputs[0]),
                        data_of<float>(c.outputs[1])});
}

using Run = void (*)(CpuDevice&, const OpCall&);

const std::map<KernelId, Run>& kernel_table() {
    using K = KernelId;
    static const std::map<KernelId, Run> table = {{K::embedding, run_embedding},
                                                  {K::rms_norm, run_rms_norm},
                                                  {K::quantize_fp8, run_quantize_fp8},
                                                  {K::dequantize_fp8, run_dequantize_fp8},
                                                  {K::gemm_fp8, run_gemm},
                                                  {K::gemm_bf16, run_gemm},
                                                  {K::grouped_gemm_fp8, run_grouped_gemm},
                                                  {K::grouped_gemm_bf16, run_grouped_gemm},
                                                  {K::rope, run_rope},
                                                  {K::mla_attention, run_mla_attention},
                                                  {K::router_topk, run_router_topk},
                                                  {K::permute, run_permute},
                                                  {K::unpermute, run_unpermute},
                                                  {K::swiglu, run_swiglu},
                                                  {K::residual_add, run_residual_add},
                                                  {K::concat, run_concat},
                                                  {K::cross_entropy, run_cross_entropy}};
    return table;
}

void copy_rows(const TensorArg& from, const TensorArg& to, std::int64_t rows) {
    R1_CHECK(from.stored == to.stored && from.width() == to.width());
    const double bytes = bits(from.stored) / 8 * static_cast<double>(rows * from.width());
    std::memcpy(to.data, from.data, static_cast<std::size_t>(bytes));
}

// One rank holds all experts: tokens stay where they are. {data, [scales], indices, weights} ->
// {data, [scales], route}.
void run_local_dispatch(const OpCall& c) {
    const std::int64_t tokens = c.op.comm()->tokens;
    const std::size_t payload = c.inputs.size() - 2;
    for (std::size_t i = 0; i < payload; ++i) {
        copy_rows(c.inputs[i], c.outputs[i], tokens);
    }
    const std::int64_t slots = c.config.num_experts_per_tok;
    const auto* indices = data_of<std::int32_t>(c.inputs[payload]);
    const auto* weights = data_of<float>(c.inputs[payload + 1]);
    auto* route = data_of<float>(c.outputs[payload]);
    for (std::int64_t token = 0; token < tokens; ++token) {
        for (std::int64_t slot = 0; slot < slots; ++slot) {
            route[token * 2 * slots + slot] = static_cast<float>(indices[token * slots + slot]);
            route[token * 2 * slots + slots + slot] = weights[token * slots + slot];
        }
    }
}

}  // namespace

CpuDevice::CpuDevice(const ModelConfig& config) {
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
    frequencies_.resize(static_cast<std::size_t>(settings.dim / 2));
    r1::rope_frequencies(settings, frequencies_);
    magnitude_ = r1::rope_magnitude(settings);
    softmax_scale_ = r1::softmax_scale(settings, config.qk_head_dim());
}

std::span<std::byte> CpuDevice::workspace(std::size_t bytes) {
    if (workspace_.size() < bytes + kWorkspaceAlignment) {
        workspace_.resize(bytes + kWorkspaceAlignment);
    }
    void* begin = workspace_.data();
    std::size_t room = workspace_.size();
    R1_CHECK(std::align(kWorkspaceAlignment, bytes, begin, room) != nullptr);
    return {static_cast<std::byte*>(begin), bytes};
}

const std::int32_t* CpuDevice::positions(std::int64_t tokens, std::int64_t sequence_length) {
    positions_.resize(static_cast<std::size_t>(tokens));
    for (std::int64_t token = 0; token < tokens; ++token) {
        positions_[static_cast<std::size_t>(token)] =
            static_cast<std::int32_t>(token % sequence_length);
    }
    return positions_.data();
}

void CpuDevice::execute(const OpCall& call) {
    if (const CommOp* comm = call.op.comm()) {
        if (comm->collective == Collective::dispatch) {
            run_local_dispatch(call);
        } else {
            R1_CHECK(comm->collective == Collective::combine);
            copy_rows(call.inputs[0], call.outputs[0], comm->tokens);
        }
        return;
    }
    const auto kernel = kernel_table().find(call.op.compute()->kernel);
    if (kernel == kernel_table().end()) {
        throw FeatureError("the CPU has no kernel for " + std::string(kind_name(call.op)));
    }
    kernel->second(*this, call);
}

}  // namespace r1
