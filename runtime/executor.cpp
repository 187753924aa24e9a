#include "runtime/executor.hpp"

#include <chrono>
#include <cstring>

#include "model/base/check.hpp"
#include "runtime/arena.hpp"

namespace r1 {

namespace {

TimePs since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() -
                                                                begin)
               .count() *
           1000;
}

class ChunkRun {
public:
    ChunkRun(const ExecutionInput& input, const ChunkTemplate& chunk)
        : input_(input),
          chunk_(chunk),
          plan_(plan_arena(chunk, input.symbols, input.policy, input.keep)),
          arena_(plan_) {}

    void run(Device& device, ExecutionResult& result) {
        const auto begin = std::chrono::steady_clock::now();
        for (std::size_t i = 0; i < chunk_.ops.size(); ++i) {
            const OpCall call = prepare(chunk_.ops[i]);
            const TimePs start = since(begin);
            device.execute(call);
            result.timeline.intervals.push_back(
                {{0, 0, static_cast<std::uint32_t>(i)}, 0, start, since(begin)});
            for (const TensorId id : plan_.dies[i]) {
                arena_.close(id);
            }
        }
        for (std::size_t t = 0; t < chunk_.tensors.size(); ++t) {
            const Tensor& tensor = chunk_.tensors[t];
            if (plan_.offset[t] != ArenaPlan::kNowhere && input_.keep(tensor)) {
                result.tensors[tensor.name] = copy_out(TensorId(t));
            }
        }
        result.arena_bytes = plan_.bytes;
    }

private:
    OpCall prepare(const Op& op) {
        OpCall call{op, input_.config, input_.policy, {}, 0, input_.sequence_length, {}, {}};
        call.received = static_cast<std::int64_t>(
            input_.symbols[static_cast<std::size_t>(Symbol::received_tokens)]);
        if (const ComputeOp* compute = op.compute()) {
            for (const Extent& dim : compute->dims) {
                call.dims.push_back(static_cast<std::int64_t>(dim.value(input_.symbols)));
            }
        }
        for (const TensorId id : op.inputs) {
            call.inputs.push_back(argument(id, false));
        }
        for (const TensorId id : op.outputs) {
            call.outputs.push_back(argument(id, true));
        }
        return call;
    }

    TensorArg argument(TensorId id, bool writes) {
        const Tensor& tensor = chunk_.tensors[id.index()];
        TensorArg arg;
        arg.tensor = &tensor;
        arg.stored = stored_as(tensor, input_.policy);
        switch (tensor.role) {
            case TensorRole::activation: arg.data = writes ? arena_.open(id) : arena_.at(id); break;
            case TensorRole::parameter: arg.weight = input_.weights.find(id); break;
            case TensorRole::input: {
                const auto found = input_.inputs.find(tensor.name);
                R1_CHECK(found != input_.inputs.end());
                // Kernels take inputs as const; the argument serves both.
                arg.data =
                    reinterpret_cast<std::byte*>(const_cast<std::int32_t*>(found->second.data()));
                break;
            }
            default: check_failed(__FILE__, __LINE__, "a forward graph reads no gradients");
        }
        return arg;
    }

    TensorValue copy_out(TensorId id) const {
        const Tensor& tensor = chunk_.tensors[id.index()];
        TensorValue value;
        value.dtype = stored_as(tensor, input_.policy);
        std::size_t count = 1;
        for (const Extent& extent : tensor.shape) {
            value.shape.push_back(static_cast<std::int64_t>(extent.value(input_.symbols)));
            count *= static_cast<std::size_t>(value.shape.back());
        }
        const auto size = static_cast<std::size_t>(bits(value.dtype) / 8) * count;
        value.data.resize(size);
        std::memcpy(value.data.data(), arena_.at(id), size);
        return value;
    }

    const ExecutionInput& input_;
    const ChunkTemplate& chunk_;
    ArenaPlan plan_;
    Arena arena_;
};

}  // namespace

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

ExecutionResult execute(const ExecutionInput& input, Device& device) {
    const ExecutionGraph& graph = input.graph;
    R1_CHECK(graph.instances().ranks() == 1);
    const std::vector<Item>& items = graph.programs().front().items;
    R1_CHECK(items.size() == 1 && items.front().kind == ItemKind::forward);
    ExecutionResult result;
    result.timeline.lanes.push_back({RankId(std::size_t{0}), 0, 1});
    ChunkRun(input, graph.chunk(items.front().chunk)).run(device, result);
    return result;
}

}  // namespace r1
