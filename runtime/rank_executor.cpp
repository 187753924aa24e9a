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
      device_progress_(device.memory()),
      pool_(device.memory()) {
    device_.set_comm_sms(setup_.comm_sms);
    if (setup_.graph.instances().expert_parallel > 1) {
        exchange_.emplace(communicator_, device_, expert_group(setup_));
    }
}

void RankExecutor::run(const RankStep& step) {
    prepare(step);
    run_streams(step);
    if (error_) {
        std::rethrow_exception(error_);
    }
    for (Messages& message : sent_) {
        message.wait();
    }
    sent_.clear();
    device_.memory().finish();
    observe(step);
    add_intervals(step);
}

void RankExecutor::prepare(const RankStep& step) {
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
    for_each_observed(step, [&](const PlannedOp& op, std::size_t which) {
        ++buffers_[op.outputs[which]].readers;
    });
    plans_.clear();
    pool_.settle();
    marks_.assign(step.intervals != nullptr ? plan_.ops.size() : 0, {});
    device_progress_.reset();
    progress_.reset();
}

void RankExecutor::run_streams(const RankStep& step) {
    std::vector<std::jthread> threads;
    for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
        if (!plan_.streams[stream].empty()) {
            threads.emplace_back(
                [this, stream, &step] { run_stream(static_cast<Stream>(stream), step); });
        }
    }
}

void RankExecutor::run_stream(Stream stream, const RankStep& step) {
    try {
        device_.attach(stream);
        Marks unmarked;
        for (const std::uint32_t index : plan_.streams[static_cast<std::size_t>(stream)]) {
            const PlannedOp& op = plan_.ops[index];
            if (!progress_.wait(stream, op.waits_for)) {
                break;
            }
            execute(op, step, marks_.empty() ? unmarked : marks_[index]);
            progress_.advance(stream);
        }
    } catch (const std::exception& error) {
        fail(error);
    }
    // After a failure too: memory goes next.
    try {
        device_.memory().finish();
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

// Starts the op. Streams that wait for it and whoever gets its memory next wait on the device.
void RankExecutor::execute(const PlannedOp& op, const RankStep& step, Marks& marks) {
    const bool is_timed = step.intervals != nullptr;
    device_progress_.wait_for(op.waits_for);
    device_.begin_op(*op.op);
    marks.start = is_timed ? device_.mark() : 0;
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
    marks.end = is_timed ? device_.mark() : 0;
    device_.end_op();
    device_progress_.advance(op.op->stream, device_.memory());
    release(op, call);
}

void RankExecutor::compute(const PlannedOp& op, OpCall& call, const RankStep& step) {
    for (std::size_t i = 0; i < call.outputs.size(); ++i) {
        TensorArg& arg = call.outputs[i];
        if (op.outputs[i] == kNoBuffer) {
            set_data(op, arg, kNoBuffer, step);
        } else {
            const std::size_t bytes = stored_bytes(*arg.tensor, symbols(op), setup_.policy);
            arg.data = open(op, op.outputs[i], bytes).data();
        }
    }
    call.workspace = take(op, device_.workspace_bytes(call));
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
            set_input(arg, inputs_->of(found->second));
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

// For the op, which its own stream's ops and those that it waits for come before.
std::span<std::byte> RankExecutor::take(const PlannedOp& op, std::size_t bytes) {
    return pool_.take(bytes, [&](const StreamPoints& users) {
        for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
            if (users[stream] > op.behind[stream] &&
                !device_progress_.has_passed({static_cast<Stream>(stream), users[stream]})) {
                return false;
            }
        }
        return true;
    });
}

std::span<std::byte> RankExecutor::open(const PlannedOp& op, std::uint32_t buffer,
                                        std::size_t bytes) {
    const std::span<std::byte> data = take(op, bytes);
    const std::lock_guard lock(mutex_);
    buffers_[buffer].data = data;
    return data;
}

// What has no reader left goes.
void RankExecutor::release(const PlannedOp& op, const OpCall& call) {
    const auto own = static_cast<std::size_t>(op.op->stream);
    const std::uint32_t end = op.behind[own] + 1;
    if (call.workspace.data() != nullptr) {
        StreamPoints user{};
        user[own] = end;
        pool_.give_back(call.workspace, user);
    }
    const std::lock_guard lock(mutex_);
    const auto leave = [&](std::uint32_t buffer, std::uint32_t readers) {
        if (buffer == kNoBuffer) {
            return;
        }
        Buffer& used = buffers_[buffer];
        used.users[own] = end;
        used.readers -= readers;
        if (used.readers == 0) {
            pool_.give_back(used.data, used.users);
        }
    };
    for (const std::uint32_t input : op.inputs) {
        leave(input, 1);
    }
    for (const std::uint32_t output : op.outputs) {
        leave(output, 0);
    }
}

template <class Call>
void RankExecutor::for_each_observed(const RankStep& step, const Call& call) const {
    if (!setup_.observes || !step.observe) {
        return;
    }
    for (const PlannedOp& op : plan_.ops) {
        for (std::size_t i = 0; i < op.outputs.size(); ++i) {
            const TensorId id = op.op->outputs[i];
            if (op.outputs[i] != kNoBuffer && setup_.observes(op.chunk->tensors[id.index()])) {
                call(op, i);
            }
        }
    }
}

void RankExecutor::observe(const RankStep& step) {
    for_each_observed(step, [&](const PlannedOp& op, std::size_t which) {
        const Tensor& tensor = op.chunk->tensors[op.op->outputs[which].index()];
        Buffer& buffer = buffers_[op.outputs[which]];
        const std::span<const std::byte> data = buffer.data;
        const HostView view(device_.memory(), data.data(), data.size());
        step.observe({op, tensor, stored_as(tensor, setup_.policy), view.values()});
        if (--buffer.readers == 0) {
            pool_.give_back(buffer.data, buffer.users);
        }
    });
}

void RankExecutor::add_intervals(const RankStep& step) {
    for (std::size_t i = 0; i < marks_.size(); ++i) {
        const ProgramOp& at = plan_.ops[i].at;
        const TimePs start = device_.time_of(marks_[i].start);
        step.intervals->push_back(
            {{0, at.item, at.op}, step.iteration, start, device_.time_of(marks_[i].end)});
    }
}

}  // namespace r1
