// The optimizer ops of a rank: gradients reduced over their holders, their norm, AdamW on the own
// part, and parameters back to all holders (ZeRO-1).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/adamw.hpp"
#include "kernels/gradient_norm.hpp"
#include "model/base/check.hpp"
#include "runtime/collectives.hpp"
#include "runtime/cpu_kernels.hpp"
#include "runtime/rank_executor.hpp"

namespace r1 {

namespace {

constexpr const char* kEmbeddingGradient = "model.embed_tokens.weight.grad";

bool is_expert_tensor(const Tensor& tensor) {
    return tensor.name.rfind("optimizer.experts.", 0) == 0;
}

std::vector<int> group_of(const std::vector<RankId>& ranks) {
    std::vector<int> group;
    for (const RankId rank : ranks) {
        group.push_back(static_cast<int>(rank.value));
    }
    return group;
}

std::span<float> floats(std::byte* data, std::size_t count) {
    return {reinterpret_cast<float*>(data), count};
}

// The gradients of the own part that this rank counts in the norm. Not those of the embedding where
// another stage counts it: stages at both ends hold it.
std::vector<std::span<const float>> counted(const StateShard& shard, const RankState& state,
                                            std::span<const float> part) {
    const StateParameter* embedding = state.find(shard.stage, "model.embed_tokens.weight");
    if (shard.stage == 0 || embedding == nullptr || embedding->shard != &shard) {
        return {part};
    }
    const auto inside = [&](std::size_t at) {
        return std::clamp(at, shard.begin, shard.end) - shard.begin;
    };
    return {part.first(inside(embedding->offset)),
            part.subspan(inside(embedding->offset + embedding->elements()))};
}

}  // namespace

void RankExecutor::collective(const PlannedOp& op, OpCall& call) {
    const CommOp& comm = *op.op->comm();
    const std::int32_t stage = op.context().stage;
    const std::vector<int> ranks = group_of(setup_.graph.group(comm.group, setup_.rank, stage));
    const CollectiveGroup group{communicator_, ranks, op.channel, MessageKind::collective};
    const Tensor& out = *call.outputs.front().tensor;
    if (comm.collective == Collective::all_gather) {
        const StateShard& shard = *state_.shard(stage, is_expert_tensor(out));
        const auto width = static_cast<std::size_t>(bits(call.outputs.front().stored) / 8);
        const std::size_t total = shard.gradient.size();
        std::vector<std::size_t> counts;
        for (const Part& part : parts(total, ranks.size())) {
            counts.push_back(part.count * width);
        }
        all_gather_v(group, {call.inputs.front().data, (shard.end - shard.begin) * width},
                     output(op, 0, total * width), counts);
        return;
    }
    if (op.op->inputs.size() == 1 && call.inputs.front().tensor->name == kEmbeddingGradient &&
        comm.group == GroupKind::embedding) {
        StateParameter& embedding = *state_.find_gradient(stage, kEmbeddingGradient);
        all_reduce(group, {embedding.gradient(), embedding.elements()});
        return;
    }
    if (comm.group == GroupKind::world) {
        const std::span<std::byte> sum = output(op, 0, sizeof(float));
        std::memcpy(sum.data(), call.inputs.front().data, sizeof(float));
        all_reduce(group, floats(sum.data(), 1));
        return;
    }
    StateShard& shard = *state_.shard(stage, is_expert_tensor(out));
    const std::size_t count = shard.end - shard.begin;
    const std::span<float> part = floats(output(op, 0, count * sizeof(float)).data(), count);
    if (comm.collective == Collective::reduce_scatter) {
        reduce_scatter(group, shard.gradient, part);
    } else {
        all_reduce(group, shard.gradient);
        std::copy(shard.gradient.begin(), shard.gradient.end(), part.begin());
    }
}

void RankExecutor::optimize(const PlannedOp& op, OpCall& call) {
    const ComputeOp* compute = op.op->compute();
    if (compute == nullptr) {
        collective(op, call);
        return;
    }
    const std::int32_t stage = op.context().stage;
    if (compute->kernel == KernelId::gradient_norm) {
        float sum = 0;
        for (const TensorArg& arg : call.inputs) {
            const auto* values = r1::data_of<float>(arg);
            if (arg.tensor->name == "gradient_norm.partial") {
                sum += *values;
                continue;
            }
            const StateShard& shard =
                *state_.shard(op.context_of(*arg.tensor).stage, is_expert_tensor(*arg.tensor));
            const auto pieces = counted(shard, state_, {values, shard.end - shard.begin});
            float squares = 0;
            cpu::gradient_norm({pieces, 0, &squares});
            // Without ZeRO every holder has, and counts, the whole gradient.
            sum += shard.sharded ? squares : squares / static_cast<float>(shard.holders.size());
        }
        floats(output(op, 0, sizeof(float)).data(), 1)[0] = sum;
    } else if (compute->kernel == KernelId::adamw) {
        const TrainingStep& training = *call.training;
        StateShard& shard = *state_.shard(stage, is_expert_tensor(*call.inputs.front().tensor));
        const std::size_t count = shard.end - shard.begin;
        const auto width = static_cast<std::size_t>(bits(call.outputs.back().stored) / 8);
        const double norm = std::sqrt(static_cast<double>(*r1::data_of<float>(call.inputs.back())));
        const double most = training.gradient_norm_max;
        const DType moments = training.f32_moments ? DType::f32 : DType::bf16;
        const auto row_of = [&](std::vector<std::byte>& data, DType dtype) {
            return Matrix{data.data(), dtype, static_cast<std::int64_t>(count)};
        };
        AdamwArgs args;
        args.elements = static_cast<std::int64_t>(count);
        args.step = training.step;
        args.lr = training.learning_rate;
        args.beta1 = training.beta1;
        args.beta2 = training.beta2;
        args.epsilon = training.epsilon;
        args.weight_decay = training.weight_decay;
        args.gradient_scale = most > 0 && norm > most ? static_cast<float>(most / norm) : 1.0F;
        args.grad = r1::data_of<float>(call.inputs.front());
        args.master = shard.master.data();
        args.exp_avg = row_of(shard.exp_avg, moments);
        args.exp_avg_sq = row_of(shard.exp_avg_sq, moments);
        args.updated = {output(op, op.outputs.size() - 1, count * width).data(),
                        call.outputs.back().stored, static_cast<std::int64_t>(count)};
        cpu::adamw(args);
    } else {
        R1_CHECK(compute->kernel == KernelId::quantize_weight_fp8);
        const TensorArg& whole = call.inputs.front();
        const StateShard& shard = *state_.shard(stage, is_expert_tensor(*whole.tensor));
        std::vector<float> values(shard.gradient.size());
        const ConstMatrix from{whole.data, whole.stored, 1};
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = load(from, static_cast<std::int64_t>(i), 0);
        }
        state_.store(shard, values.data());
    }
}

}  // namespace r1
