#include "runtime/op_call.hpp"

namespace r1 {

namespace {

std::int64_t value_of(Symbol symbol, const SymbolValues& symbols) {
    return static_cast<std::int64_t>(symbols[static_cast<std::size_t>(symbol)]);
}

}  // namespace

OpCall shaped_call(const ChunkTemplate& chunk, const Op& op, const CallSettings& settings,
                   const SymbolValues& symbols) {
    OpCall call{op, settings.config, settings.policy};
    call.received = value_of(Symbol::received_tokens, symbols);
    call.cache_capacity = value_of(Symbol::cache_capacity, symbols);
    call.sequence_length = settings.sequence_length;
    if (const ComputeOp* compute = op.compute()) {
        for (const Extent& dim : compute->dims) {
            call.dims.push_back(static_cast<std::int64_t>(dim.value(symbols)));
        }
    }
    const auto shaped = [&](TensorId id) {
        TensorArg arg;
        arg.tensor = &chunk.tensors[id.index()];
        arg.stored = stored_as(*arg.tensor, settings.policy);
        return arg;
    };
    for (const TensorId id : op.inputs) {
        call.inputs.push_back(shaped(id));
    }
    for (const TensorId id : op.outputs) {
        call.outputs.push_back(shaped(id));
    }
    return call;
}

}  // namespace r1
