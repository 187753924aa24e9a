#include "kernels/mla_attention.hpp"
#include "kernels/mla_decode.hpp"
#include "kernels/mla_prefill.hpp"
#include "kernels/rope.hpp"
#include "kernels/workspace.hpp"
#include "runtime/op_kernels.hpp"

namespace r1 {

namespace {

RopeArgs rope_args(const Device& device, const OpCall& c) {
    RopeArgs args;
    args.tokens = c.dims[0];
    args.heads = c.config.num_attention_heads;
    args.nope_dim = c.config.qk_nope_head_dim;
    args.rope_dim = c.config.qk_rope_head_dim;
    args.v_dim = c.config.v_head_dim;
    args.kv_lora_rank = c.config.kv_lora_rank;
    args.frequencies = device.rope_frequencies();
    args.magnitude = device.rope_magnitude();
    args.q = matrix(c.inputs[0]);
    args.q_rope = matrix(c.outputs[0]);
    return args;
}

MlaAttentionArgs whole_args(const OpCall& c) {
    MlaAttentionArgs args;
    args.sequences = c.dims[0];
    args.queries = c.dims[1];
    args.keys = c.dims[1];
    args.heads = c.dims[2];
    args.qk_dim = c.dims[3];
    args.nope_dim = c.config.qk_nope_head_dim;
    args.v_dim = c.dims[4];
    args.q = matrix(c.inputs[0]);
    args.k = matrix(c.inputs[1]);
    args.kv = matrix(c.inputs[2]);
    args.o = matrix(c.outputs[0]);
    args.lse = data_of<float>(c.outputs[1]);
    return args;
}

// Sizes for the largest context; {q, cache, kv_b, positions} -> {o}.
MlaCachedArgs cached_args(const OpCall& c) {
    MlaCachedArgs args;
    args.sequences = c.dims[0];
    args.queries = c.dims[1];
    args.heads = c.dims[2];
    args.nope_dim = c.dims[3];
    args.rope_dim = c.dims[4];
    args.v_dim = c.dims[5];
    args.kv_lora_rank = c.dims[6];
    args.context_max = c.dims[7] + args.queries;
    args.cache_rows = c.cache_capacity;
    args.q = matrix(c.inputs[0]);
    args.latent = matrix(c.inputs[1]);
    args.kv_b = {data_of<void>(c.inputs[2]), c.inputs[2].weight->dtype, args.kv_lora_rank};
    args.o = matrix(c.outputs[0]);
    return args;
}

void run_cached(const Device& device, const OpCall& c,
                KernelSet::Kernel<MlaCachedArgs> KernelSet::*kernel) {
    MlaCachedArgs args = cached_args(c);
    args.scale = device.softmax_scale();
    args.positions = data_of<std::int32_t>(c.inputs[3]);
    args.workspace = c.workspace;
    run(device, c, kernel, args);
}

}  // namespace

std::size_t rope_workspace(const Device&, const OpCall& c) {
    return workspace_bytes_of<std::int32_t>(c.dims[0]);
}

const std::int32_t* sequence_positions(const Device& device, const OpCall& c) {
    std::vector<std::int32_t> positions(static_cast<std::size_t>(c.dims[0]));
    for (std::size_t token = 0; token < positions.size(); ++token) {
        positions[token] =
            static_cast<std::int32_t>(static_cast<std::int64_t>(token) % c.sequence_length);
    }
    return to_workspace(device, c, positions);
}

void run_rope(const Device& device, const OpCall& c) {
    RopeArgs args = rope_args(device, c);
    args.positions = sequence_positions(device, c);
    args.kv_a = matrix(c.inputs[1]);
    args.kv = matrix(c.inputs[2]);
    args.k = matrix(c.outputs[1]);
    run(device, c, &KernelSet::rope, args);
}

void run_rope_query(const Device& device, const OpCall& c) {
    RopeArgs args = rope_args(device, c);
    args.positions = data_of<std::int32_t>(c.inputs[1]);
    run(device, c, &KernelSet::rope, args);
}

// {kv_a_norm, kv_a, positions} -> {cache}: a token's row is its position.
void run_cache_latent(const Device& device, const OpCall& c) {
    RopeLatentArgs args;
    args.rope_dim = c.config.qk_rope_head_dim;
    args.kv_lora_rank = c.config.kv_lora_rank;
    args.frequencies = device.rope_frequencies();
    args.magnitude = device.rope_magnitude();
    args.sequences = static_cast<std::int64_t>(
        c.outputs[0].tensor->shape[0].per_symbol[static_cast<std::size_t>(Symbol::cache_capacity)]);
    args.tokens = c.dims[0] / args.sequences;
    args.cache_rows = c.cache_capacity;
    args.positions = data_of<std::int32_t>(c.inputs[2]);
    args.kv_a_norm = matrix(c.inputs[0]);
    args.kv_a = matrix(c.inputs[1]);
    args.latent = matrix(c.outputs[0]);
    run(device, c, &KernelSet::rope_latent, args);
}

std::size_t mla_attention_workspace(const Device& device, const OpCall& c) {
    return bytes(device, &KernelSet::mla_attention_workspace_bytes, whole_args(c));
}

void run_mla_attention(const Device& device, const OpCall& c) {
    MlaAttentionArgs args = whole_args(c);
    args.scale = device.softmax_scale();
    args.workspace = c.workspace;
    run(device, c, &KernelSet::mla_attention, args);
}

std::size_t mla_prefill_workspace(const Device& device, const OpCall& c) {
    return bytes(device, &KernelSet::mla_prefill_workspace_bytes, cached_args(c));
}

void run_mla_prefill(const Device& device, const OpCall& c) {
    run_cached(device, c, &KernelSet::mla_prefill);
}

std::size_t mla_decode_workspace(const Device& device, const OpCall& c) {
    return bytes(device, &KernelSet::mla_decode_workspace_bytes, cached_args(c));
}

void run_mla_decode(const Device& device, const OpCall& c) {
    run_cached(device, c, &KernelSet::mla_decode);
}

}  // namespace r1
