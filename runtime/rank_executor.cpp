#include "runtime/rank_executor.hpp"

#include <algorithm>
#include <thread>

#include "model/base/check.hpp"
#include "runtime/op_call.hpp"

namespace r1 {

namespace {

ExpertGroup expert_group(const RankSetup& setup) {
    const std::vector<RankId> ranks = setup.graph.group(GroupKind::expert_parallel, setup.rank, 0);
    ExpertGroup group;
    for (const RankId rank : ranks) {
        if (rank == setup.rank) {
            group.self = static_cast<int>(group.ranks.size());
        }
        group.ranks.push_back(static_cast<int>(rank.value));
    }
    group.ranks_per_node = std::min(setup.ranks_per_node, group.size());
    R1_CHECK(group.size() % group.ranks_per_node == 0);
    group.experts = setup.config.n_routed_experts;
    group.slots = setup.config.num_experts_per_tok;
    return group;
}

}  // namespace

RankExecutor::RankExecutor(RankSetup setup, const Dependencies& dependencies, RankState& state,
                           Device& device, Communicator& communicator)
    : setup_(std::move(setup)),
      plan_(setup_.graph, dependencies,
            static_cast<std::uint32_t>(setup_.graph.instances().program_of(setup_.rank))),
      state_(state),
      device_(device),
      communicator_(communicator),
      pool_(device.memory()) {
    if (setup_.graph.instances().expert_parallel > 1) {
        exchange_.emplace(communicator_, device_, expert_group(setup_));
    }
}

void RankExecutor::run(const RankStep& step) {
    state_.zero_gradients();
    device_.memory().finish();
    if (step.intervals != nullptr) {
        device_.start_clock();
    }
    inputs_.emplace(device_.memory());
    buffers_.clear();
    buffers_.resize(plan_.readers.size());
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
        buffers_[i].readers = plan_.readers[i];
    }
    plans_.clear();
    progress_.reset();
    std::vector<std::thread> threads;
    for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
        if (!plan_.streams[stream].empty()) {
            threads.emplace_back(
                [this, stream, &step] { run_stream(static_cast<Stream>(stream), step); });
        }
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    if (error_) {
        std::rethrow_exception(error_);
    }
    for (Messages& message : sent_) {
        message.wait();
    }
    sent_.clear();
}

void RankExecutor::run_stream(Stream stream, const RankStep& step) {
    try {
        device_.attach(stream);
        for (const std::uint32_t index : plan_.streams[static_cast<std::size_t>(stream)]) {
            const PlannedOp& op = plan_.ops[index];
            if (!progress_.wait(stream, op.waits_for)) {
                return;
            }
            execute(op, step);
            progress_.advance(stream);
        }
    } catch (const std::exception& error) {
        fail(error);
    }
}

// Called while an exception is handled. The first one counts: others follow from it.
void RankExecutor::fail(const std::exception& error) {
    {
        const std::lock_guard lock(mutex_);
        if (error_) {
            return;
        }
        error_ = std::current_exception();
    }
    progress_.stop();
    communicator_.abort(error.what(), exit_code_of(error));
}

// Returns when the op is done, so that streams which wait for it and whoever gets its memory next
// need to know nothing of the device's own order.
void RankExecutor::execute(const PlannedOp& op, const RankStep& step) {
    const bool is_timed = step.intervals != nullptr;
    device_.begin_op(*op.op);
    const std::uint64_t start = is_timed ? device_.mark() : 0;
    OpCall call = call_of(op, step);
    const CommOp* comm = op.op->comm();
    if (comm != nullptr && comm->group == GroupKind::expert_parallel) {
        exchange(op, call);
    } else if (comm != nullptr && comm->group == GroupKind::pipeline) {
        message(op, call);
    } else if (op.op->phase == Phase::optimizer) {
        optimize(op, call);
    } else {
        compute(op, call, step);
    }
    observe(op, call, step);
    const std::uint64_t end = is_timed ? device_.mark() : 0;
    device_.end_op();
    device_.memory().finish();
    release(op, call);
    if (is_timed) {
        const TimePs began = device_.time_of(start);
        const TimePs ended = device_.time_of(end);
        const std::lock_guard lock(mutex_);
        step.intervals->push_back({{0, op.at.item, op.at.op}, step.iteration, began, ended});
    }
}

void RankExecutor::compute(const PlannedOp& op, OpCall& call, const RankStep& step) {
    for (std::size_t i = 0; i < call.outputs.size(); ++i) {
        TensorArg& arg = call.outputs[i];
        if (op.outputs[i] == kNoBuffer) {
            set_data(op, arg, kNoBuffer, step);
        } else {
            arg.data =
                open(op.outputs[i], stored_bytes(*arg.tensor, symbols(op), setup_.policy)).data();
        }
    }
    call.workspace = pool_.take(device_.workspace_bytes(call));
    device_.execute(call);
}

RankExecutor::LayerKey RankExecutor::layer_of(const PlannedOp& op) const {
    const Context& c = op.context();
    return {c.stage, c.direction, c.micro_batch, op.op->layer};
}

// What the routers of this micro-batch made of the graph's symbols in the op's layer.
SymbolValues RankExecutor::symbols(const PlannedOp& op) {
    SymbolValues values{};
    const std::lock_guard lock(mutex_);
    const auto found = plans_.find(layer_of(op));
    if (found != plans_.end()) {
        values[static_cast<std::size_t>(Symbol::routed_rows)] =
            static_cast<double>(found->second.rows);
        values[static_cast<std::size_t>(Symbol::received_tokens)] =
            static_cast<double>(found->second.received);
    }
    return values;
}

OpCall RankExecutor::call_of(const PlannedOp& op, const RankStep& step) {
    OpCall call = shaped_call(*op.chunk, *op.op,
                              {setup_.config, setup_.policy, setup_.sequence_length}, symbols(op));
    call.training = &step.training;
    call.comm_sms = op.item->kind == ItemKind::overlapped ? setup_.comm_sms : 0;
    for (std::size_t i = 0; i < call.inputs.size(); ++i) {
        set_data(op, call.inputs[i], op.inputs[i], step);
    }
    for (std::vector<TensorArg>* list : {&call.inputs, &call.outputs}) {
        for (TensorArg& arg : *list) {
            if (arg.tensor->role == TensorRole::parameter) {
                const StateParameter* parameter =
                    state_.find(op.context_of(*arg.tensor).stage, arg.tensor->name);
                arg.weight = parameter == nullptr ? nullptr : &parameter->weight;
            }
        }
    }
    return call;
}

// Not of outputs that are still to be opened, and of what the optimizer finds itself.
void RankExecutor::set_data(const PlannedOp& op, TensorArg& arg, std::uint32_t buffer,
                            const RankStep& step) {
    const Tensor& tensor = *arg.tensor;
    switch (tensor.role) {
        case TensorRole::activation: {
            R1_CHECK(buffer != kNoBuffer);
            const std::lock_guard lock(mutex_);
            arg.data = buffers_[buffer].data.data();
            return;
        }
        case TensorRole::input: {
            const InputValues& inputs = step.inputs(op.context_of(tensor));
            const auto found = inputs.find(tensor.name);
            R1_CHECK(found != inputs.end());
            R1_CHECK(static_cast<double>(found->second.size()) == elements(tensor).constant);
            const std::lock_guard lock(mutex_);
            set_input(arg, found->second, *inputs_);
            return;
        }
        case TensorRole::gradient: {
            const std::int32_t stage = op.context_of(tensor).stage;
            if (DeviceArray<std::int32_t>* load = state_.expert_load(stage, tensor.name)) {
                arg.data = reinterpret_cast<std::byte*>(load->data());
                return;
            }
            StateParameter* parameter = state_.find_gradient(stage, tensor.name);
            R1_CHECK(parameter != nullptr && parameter->shard != nullptr);
            arg.data = reinterpret_cast<std::byte*>(parameter->gradient());
            return;
        }
        case TensorRole::parameter:
        case TensorRole::optimizer_state:
        case TensorRole::cache: return;
    }
}

std::span<std::byte> RankExecutor::open(std::uint32_t buffer, std::size_t bytes) {
    const std::span<std::byte> data = pool_.take(bytes);
    const std::lock_guard lock(mutex_);
    buffers_[buffer].data = data;
    return data;
}

// What has no reader left goes.
void RankExecutor::release(const PlannedOp& op, const OpCall& call) {
    if (call.workspace.data() != nullptr) {
        pool_.give_back(call.workspace);
    }
    const std::lock_guard lock(mutex_);
    for (const std::uint32_t input : op.inputs) {
        if (input != kNoBuffer && --buffers_[input].readers == 0) {
            pool_.give_back(buffers_[input].data);
        }
    }
    for (const std::uint32_t output : op.outputs) {
        if (output != kNoBuffer && plan_.readers[output] == 0) {
            pool_.give_back(buffers_[output].data);
        }
    }
}

void RankExecutor::observe(const PlannedOp& op, const OpCall& call, const RankStep& step) {
    if (!setup_.observes || !step.observe) {
        return;
    }
    for (std::size_t i = 0; i < op.outputs.size(); ++i) {
        const Tensor& tensor = *call.outputs[i].tensor;
        if (op.outputs[i] != kNoBuffer && setup_.observes(tensor)) {
            const std::lock_guard lock(mutex_);
            const std::span<const std::byte> data = buffers_[op.outputs[i]].data;
            const HostView view(device_.memory(), data.data(), data.size());
            step.observe({op, tensor, call.outputs[i].stored, view.values()});
        }
    }
}

}  // namespace r1
