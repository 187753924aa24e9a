#include "model/workload/expert_all_to_all.hpp"

#include <array>
#include <utility>

#include "model/graph/chunk_builder.hpp"
#include "model/graph/graph_builder.hpp"

namespace r1 {

namespace {

constexpr double kHeaderBytes = 16;  // source of a low-latency message, and padding

class AllToAll {
public:
    AllToAll(const LayerSizes& sizes, ExpertKernels kernels)
        : sizes_(sizes),
          low_latency_(kernels == ExpertKernels::low_latency),
          builder_("all_to_all") {}

    ChunkTemplate chunk() && {
        builder_.set_stream(Stream::comm);
        const std::int64_t hidden = sizes_.config.hidden_size;
        // Low-latency kernels put the rows of each expert together, as its GEMM takes them.
        const Extent rows = low_latency_ ? Symbol::routed_rows : Symbol::received_tokens;
        communicate(low_latency_ ? Collective::low_latency_dispatch : Collective::dispatch,
                    sizes_.precision.dispatch, low_latency_ ? kHeaderBytes : 0,
                    wire("tokens", sizes_.precision.dispatch, sizes_.tokens()),
                    wire("received", sizes_.precision.dispatch, rows));
        communicate(
            low_latency_ ? Collective::low_latency_combine : Collective::combine,
            sizes_.precision.combine, 0,
            {builder_.tensor("expert_outputs", sizes_.precision.combine, {rows, hidden})},
            {builder_.tensor("combined", sizes_.precision.combine, {sizes_.tokens(), hidden})});
        return std::move(builder_).take();
    }

private:
    [[nodiscard]] std::int64_t scales() const { return (sizes_.config.hidden_size + 127) / 128; }

    std::vector<TensorId> wire(const std::string& name, DType dtype, const Extent& rows) {
        std::vector<TensorId> tensors = {
            builder_.tensor(name, dtype, {rows, sizes_.config.hidden_size})};
        if (dtype == DType::e4m3) {
            tensors.push_back(builder_.tensor(name + ".scale", DType::f32, {rows, scales()}));
        }
        return tensors;
    }

    void communicate(Collective collective, DType dtype, double header,
                     std::vector<TensorId> inputs, std::vector<TensorId> outputs) {
        const std::int64_t hidden = sizes_.config.hidden_size;
        CommOp comm;
        comm.collective = collective;
        comm.group = GroupKind::expert_parallel;
        comm.payload_bytes =
            static_cast<double>(dtype == DType::e4m3 ? hidden + 4 * scales() : 2 * hidden) + header;
        comm.tokens = sizes_.tokens();
        builder_.communicate(comm, std::move(inputs), std::move(outputs));
    }

    const LayerSizes& sizes_;
    bool low_latency_;
    ChunkBuilder builder_;
};

}  // namespace

std::string_view name(ExpertKernels kernels) {
    static constexpr std::array<std::string_view, 2> names = {"normal", "low_latency"};
    return names[static_cast<std::size_t>(kernels)];
}

ExecutionGraph build_expert_all_to_all_graph(const TrainingSetup& setup, ExpertKernels kernels) {
    GraphBuilder builder({1, setup.plan.data_parallel, setup.plan.expert_parallel});
    RankProgram program;
    program.stages = {0};
    const Context context{0, 0, 0};
    program.given = {context};
    program.items.push_back({ItemKind::forward,
                             builder.add(AllToAll(setup.sizes, kernels).chunk()),
                             {context, {}},
                             -1});
    builder.add(std::move(program));
    return builder.freeze();
}

}  // namespace r1
