// The communication ops of a rank: pipeline messages, and tokens to their experts and back.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "kernels/permute.hpp"
#include "model/base/check.hpp"
#include "model/base/exit_code.hpp"
#include "runtime/messages.hpp"
#include "runtime/op_kernels.hpp"
#include "runtime/rank_executor.hpp"

namespace r1 {

namespace {

std::size_t row_bytes(const TensorArg& arg) {
    return static_cast<std::size_t>(arg.width()) * static_cast<std::size_t>(bits(arg.stored) / 8);
}

HostView<std::int32_t> indices_of(const Device& device, const TensorArg& arg) {
    return {device.memory(), data_of<std::int32_t>(arg),
            static_cast<std::size_t>(elements(*arg.tensor).constant)};
}
HostView<float> weights_of(const Device& device, const TensorArg& arg) {
    return {device.memory(), data_of<float>(arg),
            static_cast<std::size_t>(elements(*arg.tensor).constant)};
}

// As if all experts were here: the tokens stay in their order.
ExchangePlan local_plan(std::span<const std::int32_t> indices, std::span<const float> weights,
                        const ModelConfig& config) {
    const auto slots = static_cast<std::size_t>(config.num_experts_per_tok);
    ExchangePlan plan;
    plan.expert_rows.resize(static_cast<std::size_t>(config.n_routed_experts));
    for (const std::int32_t expert : indices) {
        ++plan.expert_rows[static_cast<std::size_t>(expert)];
    }
    plan.tokens = static_cast<std::int64_t>(indices.size() / slots);
    plan.to_member.emplace_back(static_cast<std::size_t>(plan.tokens));
    std::iota(plan.to_member.front().begin(), plan.to_member.front().end(), 0);
    plan.to_node = plan.to_member;
    plan.received = plan.tokens;
    plan.rows = static_cast<std::int64_t>(indices.size());
    plan.route.resize(2 * indices.size());
    cpu::local_route({plan.tokens, config.num_experts_per_tok, indices.data(), weights.data(),
                      plan.route.data()});
    return plan;
}

// Gradients of the routing weights, from rows sorted by expert to the slots of received tokens:
// rows are in the order of kernels/permute.hpp.
std::vector<float> slot_gradients(const ExchangePlan& plan, std::span<const float> of_rows,
                                  std::int64_t slots, std::int64_t experts) {
    const float* rows = of_rows.data();
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

void require_capacity(const ExchangePlan& plan, const RankSetup& setup) {
    if (setup.routed_capacity > 0 && plan.rows > setup.routed_capacity) {
        throw InfeasibleError(
            fmt::format("plan.routed_capacity: buffers have room for {} token copies, and a layer "
                        "sends {} to rank {}",
                        setup.routed_capacity, plan.rows, setup.rank.value));
    }
}

std::vector<std::int64_t> sizes(const std::vector<ExchangePlan::Rows>& lists) {
    std::vector<std::int64_t> counts;
    for (const ExchangePlan::Rows& list : lists) {
        counts.push_back(static_cast<std::int64_t>(list.size()));
    }
    return counts;
}

std::int64_t most_nodes(const ExchangePlan& plan) {
    std::vector<std::int64_t> nodes(static_cast<std::size_t>(plan.tokens));
    for (const ExchangePlan::Rows& tokens : plan.to_node) {
        for (const std::int32_t token : tokens) {
            ++nodes[static_cast<std::size_t>(token)];
        }
    }
    return nodes.empty() ? 0 : *std::max_element(nodes.begin(), nodes.end());
}

}  // namespace

std::vector<ExchangeRecord> RankExecutor::exchanges() const {
    std::vector<ExchangeRecord> records;
    for (const auto& [key, plan] : plans_) {
        const auto& [stage, direction, micro_batch, layer] = key;
        records.push_back({static_cast<std::int64_t>(setup_.rank.value), stage, direction,
                           micro_batch, layer, plan.tokens, sizes(plan.to_node),
                           sizes(plan.to_member), plan.expert_rows, most_nodes(plan)});
    }
    return records;
}

void RankExecutor::message(const PlannedOp& op, OpCall& call) {
    const Instances& instances = setup_.graph.instances();
    const RankId peer = instances.rank(op.item->peer, instances.replica_of(setup_.rank));
    const auto to = static_cast<int>(peer.value);
    if (op.op->comm()->collective == Collective::send) {
        const TensorArg& arg = call.inputs.front();
        const std::size_t bytes = stored_bytes(*arg.tensor, {}, setup_.policy);
        // Not waited for here: the peer's receives come in its own order, and where a message is on
        // its way only while both ends wait, two streams of sends would wait for each other.
        Messages message(communicator_, op.channel, MessageKind::pipeline);
        Messages::Buffer copy(device_.memory(), bytes);
        device_.memory().copy(copy.data(), arg.data, bytes);
        message.send(to, std::move(copy));
        const std::lock_guard lock(mutex_);
        sent_.push_back(std::move(message));
        return;
    }
    const std::size_t bytes = stored_bytes(*call.outputs.front().tensor, {}, setup_.policy);
    communicator_.receive(to, op.channel, MessageKind::pipeline, output(op, 0, bytes))->wait();
}

std::span<std::byte> RankExecutor::output(const PlannedOp& op, std::size_t which,
                                          std::size_t bytes) {
    return open(op, op.outputs[which], bytes);
}

// References into the map outlive other layers' insertions.
ExchangePlan& RankExecutor::exchange_plan(const PlannedOp& op) {
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

// The notify of a forward dispatch, {…, indices, weights} -> {counts}, plans the exchange; at the
// others ranks wait for each other, and hear the same.
void RankExecutor::announce(const PlannedOp& op, const OpCall& call) {
    const Tensor& counts = *call.outputs.front().tensor;
    const std::span<std::byte> out = output(op, 0, stored_bytes(counts, {}, setup_.policy));
    device_.memory().zero(out.data(), out.size());  // read by nobody: the plan has them
    const bool has_choice = call.inputs.size() > 2;
    if (op.op->phase == Phase::forward && has_choice) {
        ExchangePlan plan =
            exchange_->plan(indices_of(device_, call.inputs[call.inputs.size() - 2]).values());
        exchange_->notify(plan, op.channel);
        require_capacity(plan, setup_);
        const std::lock_guard lock(mutex_);
        plans_[layer_of(op)] = std::move(plan);
        return;
    }
    const ExchangePlan& plan = exchange_plan(op);
    ExchangePlan again = plan;
    exchange_->notify(again, op.channel);
    R1_CHECK(again.first_row == plan.first_row && again.rows == plan.rows);
}

// Forward {data, [scales], indices, weights, [counts]} -> {data, [scales], route}; backward the
// same without route.
void RankExecutor::dispatch(const PlannedOp& op, OpCall& call) {
    const bool is_forward = op.op->phase == Phase::forward;
    const std::size_t count = call.outputs.size() - (is_forward ? 1 : 0);
    const TensorArg& indices = call.inputs[count];
    const TensorArg& weights = call.inputs[count + 1];
    if (is_forward && !exchange_) {
        ExchangePlan plan = local_plan(indices_of(device_, indices).values(),
                                       weights_of(device_, weights).values(), setup_.config);
        const std::lock_guard lock(mutex_);
        plans_[layer_of(op)] = std::move(plan);
    }
    ExchangePlan& plan = exchange_plan(op);
    std::vector<ExchangedRows> payloads;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t bytes = row_bytes(call.inputs[i]);
        R1_CHECK(bytes == row_bytes(call.outputs[i]));
        const std::span<std::byte> to =
            output(op, i, bytes * static_cast<std::size_t>(plan.received));
        payloads.push_back({bytes, call.inputs[i].data, to.data()});
        if (!exchange_) {
            device_.memory().copy(to.data(), call.inputs[i].data, to.size());
        }
    }
    if (exchange_ && is_forward) {
        exchange_->dispatch(plan, std::move(payloads), r1::data_of<std::int32_t>(indices),
                            r1::data_of<float>(weights), op.channel);
    } else if (exchange_) {
        exchange_->dispatch(plan, payloads, op.channel);
    }
    if (is_forward) {
        const std::span<const std::byte> route = std::as_bytes(std::span(plan.route));
        device_.memory().copy(output(op, count, route.size()).data(), route.data(), route.size());
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
    std::vector<CombinedRows> payloads = {{x.width(), matrix(x), matrix(y)}};
    DeviceArray<float> gradients(device_.memory());
    if (call.outputs.size() > 1) {
        const std::int64_t experts =
            exchange_ ? exchange_->group().local_experts() : setup_.config.n_routed_experts;
        const HostView rows(device_.memory(), r1::data_of<float>(call.inputs[2]),
                            static_cast<std::size_t>(plan.rows));
        gradients = DeviceArray<float>(device_.memory(), std::span<const float>(slot_gradients(
                                                             plan, rows.values(), slots, experts)));
        const std::size_t size = sizeof(float) * static_cast<std::size_t>(plan.tokens * slots);
        call.outputs[1].data = output(op, 1, size).data();
        payloads.push_back({slots,
                            {gradients.data(), DType::f32, slots},
                            {call.outputs[1].data, DType::f32, slots}});
    }
    if (exchange_) {
        exchange_->combine(plan, payloads, op.channel);
        return;
    }
    device_.memory().copy(y.data, x.data, bytes);
    if (!gradients.empty()) {
        device_.memory().copy(call.outputs[1].data, gradients.data(),
                              gradients.span().size_bytes());
    }
}

}  // namespace r1
