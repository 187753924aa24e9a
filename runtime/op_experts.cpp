#include "kernels/bias_update.hpp"
#include "kernels/permute.hpp"
#include "kernels/router_topk.hpp"
#include "kernels/unpermute.hpp"
#include "model/base/check.hpp"
#include "runtime/op_kernels.hpp"

namespace r1 {

namespace {

PermutedBytes permuted(const TensorArg& from, const TensorArg& to) {
    return {static_cast<std::int64_t>(bits(from.stored) / 8) * from.width(), from.data, to.data};
}

UnpermuteArgs unpermute_args(const OpCall& c) {
    UnpermuteArgs args;
    args.rows = c.dims[0];
    args.received = c.received;
    args.width = c.dims[1];
    args.x = matrix(c.inputs[0]);
    args.row_map = data_of<std::int32_t>(c.inputs[1]);
    args.y = matrix(c.outputs[0]);
    return args;
}

void copy_rows(const Device& device, const TensorArg& from, const TensorArg& to,
               std::int64_t rows) {
    R1_CHECK(from.stored == to.stored && from.width() == to.width());
    const double bytes = bits(from.stored) / 8 * static_cast<double>(rows * from.width());
    device.memory().copy(to.data, from.data, static_cast<std::size_t>(bytes));
}

}  // namespace

void run_router_topk(const Device& device, const OpCall& c) {
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
    run(device, c, &KernelSet::router_topk, args);
    if (counts_experts(c)) {
        run(device, c, &KernelSet::expert_load,
            {args.tokens, args.experts, args.experts_per_token, args.indices,
             data_of<std::int32_t>(c.outputs[2])});
    }
}

// Forward: {data, [scales], route} -> {data, [scales], row_map, row_weights, offsets}.
// Backward, by the forward's map: {data, [scales], row_map} -> {data, [scales]}.
void run_permute(const Device& device, const OpCall& c) {
    const bool scaled = c.inputs.size() == 3;
    if (repeats_permutation(c)) {
        PermuteAgainArgs again;
        again.rows = c.dims[0];
        again.row_map = data_of<std::int32_t>(c.inputs.back());
        again.data = permuted(c.inputs[0], c.outputs[0]);
        if (scaled) {
            again.scales = permuted(c.inputs[1], c.outputs[1]);
        }
        run(device, c, &KernelSet::permute_again, again);
        return;
    }
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
    run(device, c, &KernelSet::permute, args);
}

std::size_t unpermute_workspace(const Device& device, const OpCall& c) {
    return bytes(device, &KernelSet::unpermute_workspace_bytes, unpermute_args(c));
}

void run_unpermute(const Device& device, const OpCall& c) {
    UnpermuteArgs args = unpermute_args(c);
    args.workspace = c.workspace;
    run(device, c, &KernelSet::unpermute, args);
}

// One rank holds all experts: tokens stay where they are. {data, [scales], indices, weights} ->
// {data, [scales], route}.
void run_local_dispatch(const Device& device, const OpCall& c) {
    const std::int64_t tokens = c.op.comm()->tokens;
    const std::size_t payload = c.inputs.size() - 2;
    for (std::size_t i = 0; i < payload; ++i) {
        copy_rows(device, c.inputs[i], c.outputs[i], tokens);
    }
    run(device, c, &KernelSet::local_route,
        {tokens, c.config.num_experts_per_tok, data_of<std::int32_t>(c.inputs[payload]),
         data_of<float>(c.inputs[payload + 1]), data_of<float>(c.outputs[payload])});
}

void run_local_combine(const Device& device, const OpCall& c) {
    copy_rows(device, c.inputs[0], c.outputs[0], c.op.comm()->tokens);
}

}  // namespace r1
