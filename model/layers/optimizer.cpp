#include "model/layers/optimizer.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "model/base/check.hpp"

namespace r1 {

namespace {

bool is_expert(const Tensor& tensor) { return tensor.name.find(".experts.") != std::string::npos; }

// Heads, columns of the dense FFN and words are shared out over a tensor-parallel group; shared
// experts are not: their tokens are.
bool is_shared_out(const Tensor& tensor) {
    static constexpr std::array<const char*, 7> kParts = {
        "self_attn.q_b_proj.", "self_attn.kv_b_proj.", "self_attn.o_proj.", ".mlp.gate_up_proj.",
        ".mlp.down_proj.",     "model.embed_tokens.",  "lm_head."};
    return std::any_of(kParts.begin(), kParts.end(), [&](const char* part) {
        return tensor.name.find(part) != std::string::npos;
    });
}

double total_elements(const std::vector<Tensor>& tensors) {
    double total = 0;
    for (const Tensor& tensor : tensors) {
        total += elements(tensor).constant;
    }
    return total;
}

// One of the kinds of parameters of a stage, in its update.
struct ParameterShard {
    const char* name;  // "dense", "tensor" or "experts"
    const std::vector<Tensor>& parameters;
    const std::vector<Tensor>& gradients;
    GroupKind group;
    std::int64_t holders;
    bool sharded;

    [[nodiscard]] double full() const { return total_elements(gradients); }
    [[nodiscard]] double part() const {
        return sharded ? full() / static_cast<double>(holders) : full();
    }
    [[nodiscard]] std::string tensor(const char* what) const {
        return std::string("optimizer.") + name + "." + what;
    }
    TensorId gradient_shard(ChunkBuilder& builder) const {
        return builder.tensor(tensor("grad"), DType::f32, {part()});
    }
    TensorId state(ChunkBuilder& builder, const char* what, DType dtype) const {
        return builder.tensor(tensor(what), dtype, {part()}, TensorRole::optimizer_state);
    }
};

std::vector<ParameterShard> shards(const StageState& state, const OptimizerSizes& sizes) {
    const bool zero = sizes.zero_stage >= 1;
    std::vector<ParameterShard> result;
    if (!state.dense_gradients.empty()) {
        result.push_back({"dense", state.dense_parameters, state.dense_gradients,
                          GroupKind::data_parallel, sizes.data_parallel, zero});
    }
    if (!state.tensor_gradients.empty()) {
        result.push_back({"tensor", state.tensor_parameters, state.tensor_gradients,
                          GroupKind::tensor_data_parallel, sizes.tensor_data_parallel, zero});
    }
    if (!state.expert_gradients.empty()) {
        result.push_back({"experts", state.expert_parameters, state.expert_gradients,
                          GroupKind::expert_data_parallel, sizes.expert_data_parallel, zero});
    }
    return result;
}

std::vector<TensorId> declare(ChunkBuilder& builder, const std::vector<Tensor>& tensors) {
    std::vector<TensorId> ids;
    for (const Tensor& tensor : tensors) {
        ids.push_back(builder.tensor(tensor.name, tensor.dtype, tensor.shape, tensor.role));
    }
    return ids;
}

void communicate(ChunkBuilder& builder, Collective collective, GroupKind group, double bytes,
                 std::vector<TensorId> inputs, std::vector<TensorId> outputs) {
    CommOp comm;
    comm.collective = collective;
    comm.group = group;
    comm.payload_bytes = bytes;
    builder.set_stream(Stream::collective);
    builder.communicate(comm, std::move(inputs), std::move(outputs));
    builder.set_stream(Stream::compute);
}

void balance_experts(ChunkBuilder& builder, const StageState& state) {
    if (state.expert_loads.empty()) {
        return;
    }
    const double count = total_elements(state.expert_loads);
    const TensorId load = builder.tensor("optimizer.expert_load", DType::i32, {count});
    communicate(builder, Collective::all_reduce, GroupKind::data_parallel, 4 * count,
                declare(builder, state.expert_loads), {load});
    if (state.router_biases.empty()) {
        return;
    }
    const std::vector<TensorId> biases = declare(builder, state.router_biases);
    std::vector<TensorId> inputs = {load};
    inputs.insert(inputs.end(), biases.begin(), biases.end());
    builder.compute(KernelId::bias_update, {count}, inputs, biases);
}

TensorId norm_tensor(ChunkBuilder& builder, const char* name) {
    return builder.tensor(name, DType::f32, {1});
}

}  // namespace

StageState stage_state(const std::vector<const ChunkTemplate*>& chunks, std::uint8_t context,
                       const std::vector<std::string>& shared, bool is_sharded) {
    std::map<std::string, Tensor> found;  // ordered: the same state from any list of chunks
    for (const ChunkTemplate* chunk : chunks) {
        for (Tensor tensor : chunk->tensors) {
            const bool owned = std::find(shared.begin(), shared.end(), tensor.name) == shared.end();
            if (tensor.context == context && owned &&
                (tensor.role == TensorRole::parameter || tensor.role == TensorRole::gradient)) {
                tensor.context = 0;
                found.emplace(tensor.name, std::move(tensor));
            }
        }
    }
    StageState state;
    for (const auto& [name, tensor] : found) {
        const bool gradient = tensor.role == TensorRole::gradient;
        if (tensor.name.ends_with("gate.expert_load")) {
            state.expert_loads.push_back(tensor);
        } else if (tensor.name.ends_with("gate.e_score_correction_bias")) {
            state.router_biases.push_back(tensor);
        } else if (is_expert(tensor)) {
            (gradient ? state.expert_gradients : state.expert_parameters).push_back(tensor);
        } else if (is_sharded && is_shared_out(tensor)) {
            (gradient ? state.tensor_gradients : state.tensor_parameters).push_back(tensor);
        } else {
            (gradient ? state.dense_gradients : state.dense_parameters).push_back(tensor);
        }
    }
    return state;
}

ChunkTemplate optimizer_reduce_chunk(const StageState& state, const OptimizerSizes& sizes,
                                     bool continues) {
    ChunkBuilder builder("reduce gradients", continues ? 2 : 1);
    builder.set_phase(Phase::optimizer);
    if (sizes.sync_embedding) {
        const std::vector<Tensor>& gradients =
            state.tensor_gradients.empty() ? state.dense_gradients : state.tensor_gradients;
        const auto embedding = std::find_if(
            gradients.begin(), gradients.end(),
            [](const Tensor& t) { return t.name == "model.embed_tokens.weight.grad"; });
        R1_CHECK(embedding != gradients.end());
        const std::vector<TensorId> gradient = declare(builder, {*embedding});
        communicate(builder, Collective::all_reduce, GroupKind::embedding,
                    bytes(*embedding).constant, gradient, gradient);
    }
    std::vector<TensorId> parts;
    for (const ParameterShard& shard : shards(state, sizes)) {
        const TensorId part = shard.gradient_shard(builder);
        communicate(builder, shard.sharded ? Collective::reduce_scatter : Collective::all_reduce,
                    shard.group, 4 * shard.full(), declare(builder, shard.gradients), {part});
        parts.push_back(part);
    }
    double count = 0;
    for (const ParameterShard& shard : shards(state, sizes)) {
        count += shard.part();
    }
    const TensorId partial = norm_tensor(builder, "gradient_norm.partial");
    if (continues) {
        builder.set_context(1);
        parts.push_back(norm_tensor(builder, "gradient_norm.partial"));
        builder.set_context(0);
    }
    builder.compute(KernelId::gradient_norm, {count}, parts, {partial});
    balance_experts(builder, state);
    return std::move(builder).take();
}

ChunkTemplate optimizer_norm_chunk() {
    ChunkBuilder builder("gradient norm");
    builder.set_phase(Phase::optimizer);
    const TensorId partial = norm_tensor(builder, "gradient_norm.partial");
    const TensorId norm = norm_tensor(builder, "gradient_norm");
    communicate(builder, Collective::all_reduce, GroupKind::world, 4, {partial}, {norm});
    return std::move(builder).take();
}

ChunkTemplate optimizer_update_chunk(const StageState& state, const OptimizerSizes& sizes,
                                     bool last) {
    ChunkBuilder builder("update parameters", last ? 1 : 2);
    builder.set_phase(Phase::optimizer);
    if (!last) {
        builder.set_context(1);
    }
    const TensorId norm = norm_tensor(builder, "gradient_norm");
    builder.set_context(0);
    for (const ParameterShard& shard : shards(state, sizes)) {
        const TensorId master = shard.state(builder, "master", DType::f32);
        const TensorId exp_avg = shard.state(builder, "exp_avg", DType::bf16);
        const TensorId exp_avg_sq = shard.state(builder, "exp_avg_sq", DType::bf16);
        const TensorId updated =
            builder.tensor(shard.tensor("updated"), DType::bf16, {shard.part()});
        builder.compute(KernelId::adamw, {shard.part()},
                        {shard.gradient_shard(builder), master, exp_avg, exp_avg_sq, norm},
                        {master, exp_avg, exp_avg_sq, updated});
        if (sizes.ema) {
            const TensorId ema = shard.state(builder, "ema", DType::f32);
            builder.compute(KernelId::ema_update, {shard.part()}, {master, ema}, {ema});
        }
        TensorId whole = updated;
        if (shard.sharded) {
            whole = builder.tensor(shard.tensor("gathered"), DType::bf16, {shard.full()});
            communicate(builder, Collective::all_gather, shard.group, 2 * shard.full(), {updated},
                        {whole});
        }
        // Into the forms that the kernels read: FP8 blocks with scales, BF16.
        builder.compute(KernelId::quantize_weight_fp8, {shard.full()}, {whole},
                        declare(builder, shard.parameters));
    }
    return std::move(builder).take();
}

}  // namespace r1
