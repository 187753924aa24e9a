// Backward ops, all but the matrix products.
#include "kernels/cross_entropy_backward.hpp"
#include "kernels/embedding_backward.hpp"
#include "kernels/mla_attention_backward.hpp"
#include "kernels/rms_norm_backward.hpp"
#include "kernels/rope_backward.hpp"
#include "kernels/router_topk_backward.hpp"
#include "kernels/split.hpp"
#include "kernels/swiglu_backward.hpp"
#include "kernels/workspace.hpp"
#include "model/base/check.hpp"
#include "runtime/op_kernels.hpp"

namespace r1 {

namespace {

// {x, grad, weight, [residual or tail]} -> {dx, weight gradient}
RmsNormBackwardArgs norm_args(const OpCall& c) {
    RmsNormBackwardArgs args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    args.tail_width = c.outputs[0].width() - args.width;
    args.epsilon = static_cast<float>(c.config.rms_norm_eps);
    args.x = matrix(c.inputs[0]);
    args.grad = matrix(c.inputs[1]);
    args.weight = matrix(c.inputs[2]);
    if (c.inputs.size() > 3) {
        (args.tail_width > 0 ? args.tail : args.residual) = matrix(c.inputs[3]);
    }
    args.dx = matrix(c.outputs[0]);
    args.weight_grad = data_of<float>(c.outputs[1]);
    return args;
}

// {d_o, q, k, kv, o, lse} -> {dq, dk, dv}
MlaAttentionBackwardArgs attention_args(const OpCall& c) {
    MlaAttentionBackwardArgs args;
    args.sequences = c.dims[0];
    args.tokens = c.dims[1];
    args.heads = c.dims[2];
    args.qk_dim = c.dims[3];
    args.nope_dim = c.config.qk_nope_head_dim;
    args.v_dim = c.dims[4];
    args.d_o = matrix(c.inputs[0]);
    args.q = matrix(c.inputs[1]);
    args.k = matrix(c.inputs[2]);
    args.kv = matrix(c.inputs[3]);
    args.o = matrix(c.inputs[4]);
    args.lse = data_of<float>(c.inputs[5]);
    args.dq = matrix(c.outputs[0]);
    args.dk = matrix(c.outputs[1]);
    args.dv = matrix(c.outputs[2]);
    return args;
}

}  // namespace

std::size_t rms_norm_backward_workspace(const Device& device, const OpCall& c) {
    return bytes(device, &KernelSet::rms_norm_backward_workspace_bytes, norm_args(c));
}

void run_rms_norm_backward(const Device& device, const OpCall& c) {
    RmsNormBackwardArgs args = norm_args(c);
    args.workspace = c.workspace;
    run(device, c, &KernelSet::rms_norm_backward, args);
}

// {gate_up, d_act, [row weights]} -> {d_gate_up, [act], [gradient of the row weights]}
void run_swiglu_backward(const Device& device, const OpCall& c) {
    const bool is_weighted = c.inputs.size() > 2;
    SwigluBackwardArgs args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    args.gate_up = matrix(c.inputs[0]);
    args.d_act = matrix(c.inputs[1]);
    args.d_gate_up = matrix(c.outputs[0]);
    if (is_weighted) {
        args.row_weights = data_of<float>(c.inputs[2]);
        args.route_grad = data_of<float>(c.outputs.back());
    }
    if (c.outputs.size() > (is_weighted ? 2U : 1U)) {
        args.act = matrix(c.outputs[1]);
    }
    run(device, c, &KernelSet::swiglu_backward, args);
}

std::size_t rope_backward_workspace(const Device&, const OpCall& c) {
    return workspace_bytes_of<std::int32_t>(c.dims[0]);
}

// {q_rope, k, v} gradients -> {q, kv, k_rope} gradients
void run_rope_backward(const Device& device, const OpCall& c) {
    RopeBackwardArgs args;
    args.tokens = c.dims[0];
    args.heads = c.config.num_attention_heads;
    args.nope_dim = c.config.qk_nope_head_dim;
    args.rope_dim = c.config.qk_rope_head_dim;
    args.v_dim = c.config.v_head_dim;
    args.positions = sequence_positions(device, c);
    args.frequencies = device.rope_frequencies();
    args.magnitude = device.rope_magnitude();
    args.q_rope_grad = matrix(c.inputs[0]);
    args.k_grad = matrix(c.inputs[1]);
    args.v_grad = matrix(c.inputs[2]);
    args.q_grad = matrix(c.outputs[0]);
    args.kv_grad = matrix(c.outputs[1]);
    args.k_rope_grad = matrix(c.outputs[2]);
    run(device, c, &KernelSet::rope_backward, args);
}

std::size_t mla_attention_backward_workspace(const Device& device, const OpCall& c) {
    return bytes(device, &KernelSet::mla_attention_backward_workspace_bytes, attention_args(c));
}

void run_mla_attention_backward(const Device& device, const OpCall& c) {
    MlaAttentionBackwardArgs args = attention_args(c);
    args.scale = device.softmax_scale();
    args.workspace = c.workspace;
    run(device, c, &KernelSet::mla_attention_backward, args);
}

// {ids, gradient} -> {gradient of the table}
void run_embedding_backward(const Device& device, const OpCall& c) {
    EmbeddingBackwardArgs args;
    args.tokens = c.dims[0];
    args.width = c.dims[1];
    args.vocabulary = static_cast<std::int64_t>(c.outputs[0].tensor->shape.front().constant);
    args.ids = data_of<std::int32_t>(c.inputs[0]);
    args.grad = matrix(c.inputs[1]);
    args.table_grad = data_of<float>(c.outputs[0]);
    run(device, c, &KernelSet::embedding_backward, args);
}

void run_split(const Device& device, const OpCall& c) {
    run(device, c, &KernelSet::split,
        {c.dims[0], c.outputs[0].width(), c.outputs[1].width(), matrix(c.inputs[0]),
         matrix(c.outputs[0]), matrix(c.outputs[1])});
}

// {logits, log_sum_exp, labels} -> {gradient of the logits}
void run_cross_entropy_backward(const Device& device, const OpCall& c) {
    R1_CHECK(c.training != nullptr);
    const bool is_mtp = c.outputs[0].tensor->name.rfind("mtp.", 0) == 0;
    CrossEntropyBackwardArgs args;
    args.tokens = c.dims[0];
    args.vocabulary = c.dims[1];
    args.scale = static_cast<float>(is_mtp ? c.training->mtp_loss_scale : c.training->loss_scale);
    args.logits = matrix(c.inputs[0]);
    args.log_sum_exp = data_of<float>(c.inputs[1]);
    args.labels = data_of<std::int32_t>(c.inputs[2]);
    args.grad = matrix(c.outputs[0]);
    run(device, c, &KernelSet::cross_entropy_backward, args);
}

// {logits, indices, weights, gradient of the weights} -> {gradient of the logits}
void run_router_topk_backward(const Device& device, const OpCall& c) {
    R1_CHECK(c.training != nullptr);
    RouterTopkBackwardArgs args;
    args.tokens = c.dims[0];
    args.experts = c.dims[1];
    args.experts_per_token = c.config.num_experts_per_tok;
    args.score =
        c.config.scoring_func == ScoringFunc::sigmoid ? RouterScore::sigmoid : RouterScore::softmax;
    args.normalize = c.config.norm_topk_prob;
    args.scaling_factor = static_cast<float>(c.config.routed_scaling_factor);
    args.sequence_length = c.sequence_length;
    args.balance_alpha = static_cast<float>(c.training->balance_alpha);
    args.logits = data_of<float>(c.inputs[0]);
    args.indices = data_of<std::int32_t>(c.inputs[1]);
    args.weights = data_of<float>(c.inputs[2]);
    args.d_weights = data_of<float>(c.inputs[3]);
    args.d_logits = data_of<float>(c.outputs[0]);
    run(device, c, &KernelSet::router_topk_backward, args);
}

}  // namespace r1
