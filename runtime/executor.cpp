#include "runtime/executor.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/workspace.hpp"
#include "runtime/op_call.hpp"

namespace r1 {

namespace {

const ChunkTemplate& only_chunk(const ExecutionGraph& graph) {
    R1_CHECK(graph.instances().ranks() == 1);
    const std::vector<Item>& items = graph.programs().front().items;
    R1_CHECK(items.size() == 1 && items.front().kind == ItemKind::forward);
    return graph.chunk(items.front().chunk);
}

}  // namespace

const std::int32_t* InputCopies::of(const std::vector<std::int32_t>& values) {
    if (memory_.is_host()) {
        return values.data();
    }
    const auto found = copies_.find(values.data());
    if (found != copies_.end()) {
        found->second.made->wait();
        return found->second.values.data();
    }
    DeviceArray<std::int32_t> copy(memory_, std::span<const std::int32_t>(values));
    return copies_.try_emplace(values.data(), Copy{std::move(copy), memory_.record()})
        .first->second.values.data();
}

std::vector<float> TensorValue::f32() const {
    std::vector<float> values(data.size() / static_cast<std::size_t>(bits(dtype) / 8));
    if (dtype == DType::f32) {
        std::memcpy(values.data(), data.data(), data.size());
        return values;
    }
    R1_CHECK(dtype == DType::bf16);
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint16_t raw = 0;
        std::memcpy(&raw, data.data() + 2 * i, 2);
        values[i] = float_from_bf16(raw);
    }
    return values;
}

std::vector<std::int32_t> TensorValue::i32() const {
    R1_CHECK(dtype == DType::i32);
    std::vector<std::int32_t> values(data.size() / 4);
    std::memcpy(values.data(), data.data(), data.size());
    return values;
}

Executor::Executor(ExecutionSetup setup, const StageWeights& weights, const SymbolValues& largest,
                   Device& device)
    : setup_(std::move(setup)),
      chunk_(only_chunk(setup_.graph)),
      weights_(weights),
      device_(device),
      plan_(plan_arena(chunk_, largest, setup_.policy, setup_.keep)) {
    for (const Op& op : chunk_.ops) {
        plan_.workspace_bytes =
            std::max(plan_.workspace_bytes,
                     aligned_bytes(device_.workspace_bytes(shaped_call(op, largest))));
    }
}

// The call without data.
OpCall Executor::shaped_call(const Op& op, const SymbolValues& symbols) const {
    OpCall call = r1::shaped_call(chunk_, op,
                                  {setup_.config, setup_.policy, setup_.sequence_length}, symbols);
    for (std::vector<TensorArg>* list : {&call.inputs, &call.outputs}) {
        for (TensorArg& arg : *list) {
            if (arg.tensor->role == TensorRole::parameter) {
                arg.weight = weights_.find(arg.tensor->name);
            }
        }
    }
    return call;
}

void Executor::set_data(TensorArg& arg, TensorId id, bool writes, const StepPlaces& places,
                        ChunkBuffers& buffers) const {
    const Tensor& tensor = chunk_.tensors[id.index()];
    switch (tensor.role) {
        case TensorRole::activation:
            R1_CHECK(stored_bytes(tensor, places.symbols, setup_.policy) <= plan_.size[id.index()]);
            arg.data = writes ? buffers.open(id) : buffers.at(id);
            return;
        case TensorRole::parameter: return;  // the argument has the weight
        case TensorRole::cache:
            R1_CHECK(places.cache != nullptr);
            arg.data = places.cache->at(tensor.name, places.first_sequence);
            return;
        case TensorRole::input: set_input(arg, places.inputs.at(tensor.name)); return;
        default: check_failed(__FILE__, __LINE__, "a forward graph reads no gradients");
    }
}

// Kernels take inputs as const; the argument serves both.
void set_input(TensorArg& arg, const std::int32_t* values) {
    arg.data = reinterpret_cast<std::byte*>(const_cast<std::int32_t*>(values));
}

StepPlaces Executor::places_of(const ExecutionStep& step, InputCopies& copies) const {
    StepPlaces places{{}, step.symbols, step.cache, step.first_sequence};
    for (const Tensor& tensor : chunk_.tensors) {
        if (tensor.role == TensorRole::input) {
            const auto found = step.inputs.find(tensor.name);
            R1_CHECK(found != step.inputs.end());
            R1_CHECK(static_cast<double>(found->second.size()) == elements(tensor).constant);
            places.inputs[tensor.name] = copies.of(found->second);
        }
    }
    return places;
}

void Executor::start(const StepPlaces& places, ChunkBuffers& buffers, OpMarks* marks) const {
    for (std::size_t i = 0; i < chunk_.ops.size(); ++i) {
        const Op& op = chunk_.ops[i];
        OpCall call = shaped_call(op, places.symbols);
        for (std::size_t t = 0; t < op.inputs.size(); ++t) {
            set_data(call.inputs[t], op.inputs[t], false, places, buffers);
        }
        for (std::size_t t = 0; t < op.outputs.size(); ++t) {
            set_data(call.outputs[t], op.outputs[t], true, places, buffers);
        }
        call.workspace = buffers.workspace();
        device_.begin_op(op);
        const std::uint64_t start = marks == nullptr ? 0 : device_.mark();
        device_.execute(call);
        if (marks != nullptr) {
            marks->emplace_back(start, device_.mark());
        }
        device_.end_op();
        for (const TensorId id : plan_.dies[i]) {
            buffers.close(id);
        }
    }
}

TensorValues Executor::run(const ExecutionStep& step, Arena& arena,
                           std::vector<Interval>* intervals, std::int32_t iteration) const {
    ChunkBuffers buffers(plan_, arena);
    InputCopies copies(device_.memory());
    OpMarks marks;
    if (intervals != nullptr) {
        device_.start_clock();
    }
    start(places_of(step, copies), buffers, intervals == nullptr ? nullptr : &marks);
    device_.memory().finish();
    for (std::size_t i = 0; intervals != nullptr && i < marks.size(); ++i) {
        const TimePs start = device_.time_of(marks[i].first);
        intervals->push_back({{0, 0, static_cast<std::uint32_t>(i)},
                              iteration,
                              start,
                              device_.time_of(marks[i].second)});
    }
    return kept(step.symbols, buffers);
}

TensorValues Executor::kept(const SymbolValues& symbols, const ChunkBuffers& buffers) const {
    TensorValues kept;
    for (std::size_t t = 0; t < chunk_.tensors.size(); ++t) {
        const Tensor& tensor = chunk_.tensors[t];
        if (plan_.offset[t] != ArenaPlan::kNowhere && setup_.keep(tensor)) {
            kept[tensor.name] = copy_out(TensorId(t), symbols, buffers);
        }
    }
    return kept;
}

TensorValue Executor::copy_out(TensorId id, const SymbolValues& symbols,
                               const ChunkBuffers& buffers) const {
    const Tensor& tensor = chunk_.tensors[id.index()];
    TensorValue value;
    value.dtype = stored_as(tensor, setup_.policy);
    for (const Extent& extent : tensor.shape) {
        value.shape.push_back(static_cast<std::int64_t>(extent.value(symbols)));
    }
    value.data.resize(stored_bytes(tensor, symbols, setup_.policy));
    device_.memory().copy(value.data.data(), buffers.at(id), value.data.size());
    return value;
}

}  // namespace r1
