#include "model/workload/expert_all_to_all.hpp"

#include <utility>
#include <vector>

#include "model/graph/chunk_builder.hpp"
#include "model/graph/graph_builder.hpp"
#include "model/layers/emitter.hpp"

namespace r1 {

namespace {

constexpr double kHeaderBytes = 16;  // source of a low-latency message, and padding

ChunkTemplate all_to_all_chunk(const LayerSizes& sizes, bool low_latency) {
    ChunkBuilder builder("all_to_all");
    builder.set_stream(Stream::comm);
    Emitter e(builder, sizes, "");
    const std::int64_t hidden = sizes.config.hidden_size;
    const std::int64_t tokens = sizes.tokens();
    const bool fp8 = sizes.precision.dispatch == DType::e4m3;
    const auto on_wire = [&](const char* name, const Extent& rows) {
        const Operand matrix = operand(e, name, rows, hidden, fp8);
        return fp8 ? std::vector{matrix.data, matrix.scale} : std::vector{matrix.data};
    };
    const auto communicate = [&](Collective collective, double bytes, std::vector<TensorId> inputs,
                                 std::vector<TensorId> outputs) {
        CommOp comm;
        comm.collective = collective;
        comm.group = GroupKind::expert_parallel;
        comm.payload_bytes = bytes;
        comm.tokens = tokens;
        builder.communicate(comm, std::move(inputs), std::move(outputs));
    };
    // Low-latency kernels put the rows of each expert together, as its GEMM takes them.
    const Extent rows = low_latency ? Symbol::routed_rows : Symbol::received_tokens;
    communicate(low_latency ? Collective::low_latency_dispatch : Collective::dispatch,
                row_bytes(hidden, fp8) + (low_latency ? kHeaderBytes : 0),
                on_wire("tokens", tokens), on_wire("received", rows));
    communicate(low_latency ? Collective::low_latency_combine : Collective::combine,
                row_bytes(hidden, false), {e.activation("expert_outputs", rows, hidden)},
                {e.activation("combined", tokens, hidden)});
    return std::move(builder).take();
}

}  // namespace

ExecutionGraph build_expert_all_to_all_graph(const TrainingSetup& setup, ExpertKernels kernels) {
    GraphBuilder builder({1, setup.plan.data_parallel, setup.plan.expert_parallel});
    RankProgram program;
    program.stages = {0};
    const Context context{0, 0, 0};
    program.given = {context};
    program.items.push_back(
        {ItemKind::forward,
         builder.add(all_to_all_chunk(setup.sizes, kernels == ExpertKernels::low_latency)),
         {context, {}},
         -1});
    builder.add(std::move(program));
    return builder.freeze();
}

}  // namespace r1
