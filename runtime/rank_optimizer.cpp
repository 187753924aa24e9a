// The optimizer ops of a rank: gradients reduced over their holders, their norm, AdamW on the own
// part, parameters back to all holders (ZeRO-1), and the routers' biases.
#include <algorithm>
#include <cmath>

#include "model/base/check.hpp"
#include "runtime/collectives.hpp"
#include "runtime/device_math.hpp"
#include "runtime/op_kernels.hpp"
#include "runtime/rank_executor.hpp"

namespace r1 {

namespace {

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

std::span<float> floats(std::span<std::byte> data) {
    return {reinterpret_cast<float*>(data.data()), data.size() / sizeof(float)};
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

StateShard& RankExecutor::shard_of(const PlannedOp& op, const Tensor& tensor) {
    StateShard* shard = state_.shard(op.context_of(tensor).stage, is_expert_tensor(tensor));
    R1_CHECK(shard != nullptr);
    return *shard;
}

void RankExecutor::optimize(const PlannedOp& op, OpCall& call) {
    if (op.op->comm() != nullptr) {
        collective(op, call);
        return;
    }
    switch (op.op->compute()->kernel) {
        case KernelId::gradient_norm: add_norm(op, call); return;
        case KernelId::adamw: update(op, call); return;
        case KernelId::ema_update: update_ema(op, call); return;
        case KernelId::quantize_weight_fp8: store_parameters(op, call); return;
        case KernelId::bias_update: update_biases(call); return;
        default: check_failed(__FILE__, __LINE__, "no such optimizer op");
    }
}

void RankExecutor::collective(const PlannedOp& op, OpCall& call) {
    const CommOp& comm = *op.op->comm();
    const std::vector<int> ranks =
        group_of(setup_.graph.group(comm.group, setup_.rank, op.context().stage));
    const CollectiveGroup group{communicator_, ranks, op.channel, MessageKind::collective,
                                &device_};
    const TensorArg& in = call.inputs.front();
    if (comm.group == GroupKind::embedding) {
        all_reduce(group, floats({in.data, stored_bytes(*in.tensor, {}, setup_.policy)}));
    } else if (comm.group == GroupKind::world) {
        const std::span<float> sum = floats(output(op, 0, sizeof(float)));
        device_.memory().copy(sum.data(), in.data, sizeof(float));
        all_reduce(group, sum);
    } else if (in.tensor->dtype == DType::i32) {
        sum_loads(op, call, group);
    } else if (comm.collective == Collective::all_gather) {
        const StateShard& shard = shard_of(op, *call.outputs.front().tensor);
        const auto width = static_cast<std::size_t>(bits(call.outputs.front().stored) / 8);
        const std::size_t total = shard.gradient.size();
        std::vector<std::size_t> counts;
        for (const Part& part : parts(total, ranks.size())) {
            counts.push_back(part.count * width);
        }
        all_gather_v(group, {in.data, (shard.end - shard.begin) * width},
                     output(op, 0, total * width), counts);
    } else {
        StateShard& shard = shard_of(op, *call.outputs.front().tensor);
        const std::span<float> part =
            floats(output(op, 0, (shard.end - shard.begin) * sizeof(float)));
        if (comm.collective == Collective::reduce_scatter) {
            reduce_scatter(group, shard.gradient.span(), part);
        } else {
            all_reduce(group, shard.gradient.span());
            device_.memory().copy(part.data(), shard.gradient.data(), part.size_bytes());
        }
    }
}

// Counts are exact in float: a batch has less than 2^24 tokens.
void RankExecutor::sum_loads(const PlannedOp& op, OpCall& call, const CollectiveGroup& group) {
    const auto experts = static_cast<std::size_t>(setup_.config.n_routed_experts);
    std::vector<float> counts;
    for (const TensorArg& arg : call.inputs) {
        const HostView load(device_.memory(), r1::data_of<std::int32_t>(arg), experts);
        counts.insert(counts.end(), load.values().begin(), load.values().end());
    }
    DeviceArray<float> sums(device_.memory(), std::span<const float>(counts));
    all_reduce(group, sums.span());
    const HostView all(sums);
    const std::vector<std::int32_t> loads(all.values().begin(), all.values().end());
    const std::size_t bytes = loads.size() * sizeof(std::int32_t);
    device_.memory().copy(output(op, 0, bytes).data(), loads.data(), bytes);
}

// The squares' sum of the own parts, and of the stages before.
void RankExecutor::add_norm(const PlannedOp& op, const OpCall& call) {
    float sum = 0;
    for (const TensorArg& arg : call.inputs) {
        if (arg.tensor->name == "gradient_norm.partial") {
            sum += HostView(device_.memory(), r1::data_of<float>(arg), 1).values().front();
        } else {
            sum += squares_of(op, call, arg);
        }
    }
    device_.memory().copy(output(op, 0, sizeof(float)).data(), &sum, sizeof(float));
}

float RankExecutor::squares_of(const PlannedOp& op, const OpCall& call, const TensorArg& arg) {
    const StateShard& shard = shard_of(op, *arg.tensor);
    const auto pieces = counted(shard, state_, {r1::data_of<float>(arg), shard.end - shard.begin});
    DeviceArray<float> squares(device_.memory(), 1);
    GradientNormArgs args;
    args.gradients = pieces;
    args.sum_of_squares = squares.data();
    DeviceArray<std::byte> workspace(
        device_.memory(), bytes(device_, &KernelSet::gradient_norm_workspace_bytes, args));
    args.workspace = workspace.span();
    r1::run(device_, call, &KernelSet::gradient_norm, args);
    const float sum = HostView(squares).values().front();
    // Without ZeRO every holder has, and counts, the whole gradient.
    return shard.sharded ? sum : sum / static_cast<float>(shard.holders.size());
}

void RankExecutor::update(const PlannedOp& op, const OpCall& call) {
    const TrainingStep& training = *call.training;
    StateShard& shard = shard_of(op, *call.inputs.front().tensor);
    const auto count = static_cast<std::int64_t>(shard.end - shard.begin);
    const HostView squares(device_.memory(), r1::data_of<float>(call.inputs.back()), 1);
    const double norm = std::sqrt(static_cast<double>(squares.values().front()));
    const double most = training.gradient_norm_max;
    const DType moments = training.f32_moments ? DType::f32 : DType::bf16;
    const DType updated = call.outputs.back().stored;
    AdamwArgs args;
    args.elements = count;
    args.step = training.step;
    args.lr = training.learning_rate;
    args.beta1 = training.beta1;
    args.beta2 = training.beta2;
    args.epsilon = training.epsilon;
    args.weight_decay = training.weight_decay;
    args.gradient_scale = most > 0 && norm > most ? static_cast<float>(most / norm) : 1.0F;
    args.grad = r1::data_of<float>(call.inputs.front());
    args.master = shard.master.data();
    args.exp_avg = {shard.exp_avg.data(), moments, count};
    args.exp_avg_sq = {shard.exp_avg_sq.data(), moments, count};
    const auto size =
        static_cast<std::size_t>(count * static_cast<std::int64_t>(bits(updated) / 8));
    args.updated = {output(op, op.outputs.size() - 1, size).data(), updated, count};
    if (training.frozen) {
        convert(device_, 1, count, {args.master, DType::f32, count}, args.updated);
        return;
    }
    r1::run(device_, call, &KernelSet::adamw, args);
}

void RankExecutor::update_ema(const PlannedOp& op, const OpCall& call) {
    StateShard& shard = shard_of(op, *call.inputs.front().tensor);
    R1_CHECK(shard.ema.size() == shard.master.size());
    if (call.training->frozen) {
        return;
    }
    r1::run(device_, call, &KernelSet::ema_update,
            {static_cast<std::int64_t>(shard.ema.size()),
             static_cast<float>(call.training->ema_decay), shard.master.data(), shard.ema.data()});
}

void RankExecutor::store_parameters(const PlannedOp& op, const OpCall& call) {
    const TensorArg& whole = call.inputs.front();
    state_.store(shard_of(op, *whole.tensor), {whole.data, whole.stored, 1});
}

// {loads of all layers, biases} -> {biases}, in the same order.
void RankExecutor::update_biases(const OpCall& call) {
    if (call.training->frozen) {
        return;
    }
    const std::int64_t experts = setup_.config.n_routed_experts;
    const auto* load = r1::data_of<std::int32_t>(call.inputs.front());
    for (const TensorArg& bias : call.outputs) {
        R1_CHECK(bias.stored == DType::f32);
        r1::run(device_, call, &KernelSet::bias_update,
                {experts, static_cast<float>(call.training->bias_speed), load,
                 r1::data_of<float>(bias)});
        load += experts;
    }
}

}  // namespace r1
