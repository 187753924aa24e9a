// The communication ops of a rank: pipeline messages, and tokens to their experts and back.
#include <cstring>

#include "model/base/check.hpp"
#include "runtime/cpu_kernels.hpp"
#include "runtime/rank_executor.hpp"

namespace r1 {

namespace {

std::size_t row_bytes(const TensorArg& arg) {
    return static_cast<std::size_t>(arg.width()) * static_cast<std::size_t>(bits(arg.stored) / 8);
}

// As if all experts were here: the tokens stay in their order.
ExchangePlan local_plan(std::span<const std::int32_t> indices, std::span<const float> weights,
                        std::int64_t slots) {
    ExchangePlan plan;
    plan.tokens = static_cast<std::int64_t>(indices.size()) / slots;
    plan.received = plan.tokens;
    plan.rows = static_cast<std::int64_t>(indices.size());
    for (std::size_t first = 0; first < indices.size(); first += static_cast<std::size_t>(slots)) {
        for (std::int64_t s = 0; s < slots; ++s) {
            plan.route.push_back(static_cast<float>(indices[first + static_cast<std::size_t>(s)]));
        }
        for (std::int64_t s = 0; s < slots; ++s) {
            plan.route.push_back(weights[first + static_cast<std::size_t>(s)]);
        }
    }
    return plan;
}

// Gradients of the routing weights, from rows sorted by expert to the slots of received tokens:
// rows are in the order of kernels/permute.hpp.
std::vector<float> slot_gradients(const ExchangePlan& plan, const float* rows, std::int64_t slots,
                                  std::int64_t experts) {
    std::vector<float> gradients(static_cast<std::size_t>(plan.received * slots));
    for (std::int64_t expert = 0; expert < experts; ++expert) {
        for (std::int64_t token = 0; token < plan.received; ++token) {
            for (std::int64_t slot = 0; slot < slots; ++slot) {
                const float there = plan.route[static_cast<std::size_t>(token * 2 * slots + slot)];
                if (there == static_cast<float>(expert)) {
                    gradients[static_cast<std::size_t>(token * slots + slot)] = *rows++;
                }
            }
        }
    }
    return gradients;
}

}  // namespace

void RankExecutor::message(const PlannedOp& op, OpCall& call) {
    const Instances& instances = setup_.graph.instances();
    const RankId peer = instances.rank(op.item->peer, instances.replica_of(setup_.rank));
    const auto to = static_cast<int>(peer.value);
    if (op.op->comm()->collective == Collective::send) {
        const TensorArg& arg = call.inputs.front();
        const std::size_t bytes = stored_bytes(*arg.tensor, {}, setup_.policy);
        communicator_.send(to, op.channel, MessageKind::pipeline, {arg.data, bytes})->wait();
        return;
    }
    const std::size_t bytes = stored_bytes(*call.outputs.front().tensor, {}, setup_.policy);
    communicator_.receive(to, op.channel, output(op, 0, bytes))->wait();
}

std::span<std::byte> RankExecutor::output(const PlannedOp& op, std::size_t which,
                                          std::size_t bytes) {
    return open(op.outputs[which], bytes);
}

// References into the map outlive other layers' insertions.
const ExchangePlan& RankExecutor::exchange_plan(const PlannedOp& op) {
    const std::lock_guard lock(mutex_);
    const auto found = plans_.find(layer_of(op));
    R1_CHECK(found != plans_.end());
    return found->second;
}

void RankExecutor::exchange(const PlannedOp& op, OpCall& call) {
    switch (op.op->comm()->collective) {
        case Collective::notify: announce(op, call); return;
        case Collective::dispatch: dispatch(op, call); return;
        case Collective::combine: combine(op, call); return;
        default: check_failed(__FILE__, __LINE__, "no such exchange");
    }
}

// The forward pass plans the exchange, with indices and weights as its last inputs; the others
// reuse the plan, and wait for each other only.
void RankExecutor::announce(const PlannedOp& op, const OpCall& call) {
    const std::size_t bytes = stored_bytes(*call.outputs.front().tensor, {}, setup_.policy);
    const std::span<std::byte> counts = output(op, 0, bytes);
    std::memset(counts.data(), 0, counts.size());
    const bool plans = op.op->phase == Phase::forward && call.inputs.size() >= 3;
    if (!plans) {
        return;
    }
    const TensorArg& weights = call.inputs.back();
    const TensorArg& indices = call.inputs[call.inputs.size() - 2];
    const auto count = static_cast<std::size_t>(elements(*indices.tensor).constant);
    ExchangePlan plan = exchange_->plan({r1::data_of<std::int32_t>(indices), count},
                                        {r1::data_of<float>(weights), count}, op.channel);
    const std::lock_guard lock(mutex_);
    plans_[layer_of(op)] = std::move(plan);
}

// {data, [scales], indices, weights, [counts]} -> {data, [scales], [route]}
void RankExecutor::dispatch(const PlannedOp& op, OpCall& call) {
    const bool is_forward = op.op->phase == Phase::forward;
    const std::size_t payloads = call.outputs.size() - (is_forward ? 1 : 0);
    const std::int64_t slots = setup_.config.num_experts_per_tok;
    if (is_forward && !exchange_) {
        const TensorArg& indices = call.inputs[payloads];
        const auto count = static_cast<std::size_t>(elements(*indices.tensor).constant);
        ExchangePlan plan =
            local_plan({r1::data_of<std::int32_t>(indices), count},
                       {r1::data_of<float>(call.inputs[payloads + 1]), count}, slots);
        const std::lock_guard lock(mutex_);
        plans_[layer_of(op)] = std::move(plan);
    }
    const ExchangePlan& plan = exchange_plan(op);
    for (std::size_t i = 0; i < payloads; ++i) {
        const std::size_t bytes = row_bytes(call.inputs[i]);
        R1_CHECK(bytes == row_bytes(call.outputs[i]));
        const std::span<std::byte> to =
            output(op, i, bytes * static_cast<std::size_t>(plan.received));
        if (exchange_) {
            exchange_->dispatch(plan, {bytes, call.inputs[i].data, to.data()},
                                op.channel + kChannelsPerExchange * i);
        } else {
            std::memcpy(to.data(), call.inputs[i].data, to.size());
        }
    }
    if (is_forward) {
        const std::size_t bytes = plan.route.size() * sizeof(float);
        std::memcpy(output(op, payloads, bytes).data(), plan.route.data(), bytes);
    }
}

// Forward {data, route, [counts]} -> {data}. Backward {data, route, route.grad, [counts]} ->
// {data, weights.grad}.
void RankExecutor::combine(const PlannedOp& op, OpCall& call) {
    const ExchangePlan& plan = exchange_plan(op);
    const std::int64_t slots = setup_.config.num_experts_per_tok;
    const TensorArg& x = call.inputs.front();
    TensorArg& y = call.outputs.front();
    const std::size_t bytes = row_bytes(y) * static_cast<std::size_t>(plan.tokens);
    y.data = output(op, 0, bytes).data();
    std::vector<float> gradients;
    if (call.outputs.size() > 1) {
        const std::int64_t experts =
            exchange_ ? exchange_->group().local_experts() : setup_.config.n_routed_experts;
        gradients = slot_gradients(plan, r1::data_of<float>(call.inputs[2]), slots, experts);
        const std::size_t size = sizeof(float) * static_cast<std::size_t>(plan.tokens * slots);
        call.outputs[1].data = output(op, 1, size).data();
    }
    if (!exchange_) {
        std::memcpy(y.data, x.data, bytes);
        if (!gradients.empty()) {
            std::memcpy(call.outputs[1].data, gradients.data(), gradients.size() * sizeof(float));
        }
        return;
    }
    exchange_->combine(plan, matrix(x), matrix(y), x.width(), MessageKind::combine, op.channel);
    if (call.outputs.size() > 1) {
        exchange_->combine(plan, {gradients.data(), DType::f32, slots},
                           {call.outputs[1].data, DType::f32, slots}, slots, MessageKind::notify,
                           op.channel + kChannelsPerExchange);
    }
}

}  // namespace r1
