#include "tests/support/two_stage_graph.hpp"

#include <map>

#include "model/graph/chunk_builder.hpp"
#include "model/graph/graph_builder.hpp"

namespace r1::test {

namespace {

constexpr int kRows = 16;
constexpr int kWidth = 8;

TensorId hidden(ChunkBuilder& builder, const char* name) {
    return builder.tensor(name, DType::bf16, {kRows, kWidth});
}

ChunkTemplate message(const char* tensor, bool forward, Collective collective) {
    ChunkBuilder builder(tensor);
    builder.set_phase(forward ? Phase::forward : Phase::backward_input);
    const bool sends = collective == Collective::send;
    builder.set_stream(sends ? Stream::send : Stream::recv);
    const TensorId id = hidden(builder, tensor);
    CommOp comm;
    comm.collective = collective;
    comm.payload_bytes = bytes(builder.at(id));
    builder.communicate(comm, sends ? std::vector{id} : std::vector<TensorId>{},
                        sends ? std::vector<TensorId>{} : std::vector{id});
    return std::move(builder).take();
}

ChunkTemplate reduction(const char* gradient, std::vector<Extent> shape) {
    ChunkBuilder builder("optimizer");
    builder.set_phase(Phase::optimizer);
    builder.set_stream(Stream::collective);
    const TensorId whole = builder.tensor(gradient, DType::f32, shape, TensorRole::gradient);
    CommOp comm;
    comm.collective = Collective::reduce_scatter;
    comm.group = GroupKind::data_parallel;
    comm.payload_bytes = bytes(builder.at(whole));
    builder.communicate(comm, {whole}, {builder.tensor("part", DType::f32, {1})});
    return std::move(builder).take();
}

}  // namespace

TwoStages::TwoStages() {
    {
        ChunkBuilder builder("F(0)");
        const TensorId ids = builder.tensor("tokens", DType::i32, {kRows}, TensorRole::input);
        const TensorId table =
            builder.tensor("table", DType::bf16, {100, kWidth}, TensorRole::parameter);
        builder.compute(KernelId::embedding, {kRows, kWidth}, {ids, table},
                        {hidden(builder, "hidden.out")});
        forward[0] = std::move(builder).take();
    }
    {
        ChunkBuilder builder("F(1)");
        const TensorId weight =
            builder.tensor("norm.weight", DType::bf16, {kWidth}, TensorRole::parameter);
        builder.compute(KernelId::rms_norm, {kRows, kWidth}, {hidden(builder, "hidden.in"), weight},
                        {hidden(builder, "final")});
        forward[1] = std::move(builder).take();
    }
    {
        ChunkBuilder builder("BW(1)");
        const TensorId weight =
            builder.tensor("norm.weight", DType::bf16, {kWidth}, TensorRole::parameter);
        const TensorId gradient =
            builder.tensor("norm.weight.grad", DType::f32, {kWidth}, TensorRole::gradient);
        builder.compute(KernelId::residual_add, {kRows, kWidth},
                        {hidden(builder, "final"), hidden(builder, "final")},
                        {hidden(builder, "final.grad")});
        builder.compute(KernelId::rms_norm_backward, {kRows, kWidth},
                        {hidden(builder, "hidden.in"), hidden(builder, "final.grad"), weight},
                        {hidden(builder, "hidden.in.grad"), gradient});
        backward[1] = std::move(builder).take();
    }
    {
        ChunkBuilder builder("BW(0)");
        const TensorId ids = builder.tensor("tokens", DType::i32, {kRows}, TensorRole::input);
        const TensorId gradient =
            builder.tensor("table.grad", DType::f32, {100, kWidth}, TensorRole::gradient);
        builder.compute(KernelId::embedding_backward, {kRows, kWidth},
                        {ids, hidden(builder, "hidden.out.grad")}, {gradient});
        backward[0] = std::move(builder).take();
    }
    messages = {message("hidden.out", true, Collective::send),
                message("hidden.in", true, Collective::recv),
                message("hidden.in.grad", false, Collective::send),
                message("hidden.out.grad", false, Collective::recv)};
    optimizer = {reduction("table.grad", {100, kWidth}), reduction("norm.weight.grad", {kWidth})};
    {
        ChunkBuilder builder("norm");
        builder.set_phase(Phase::optimizer);
        builder.set_stream(Stream::collective);
        CommOp comm;
        comm.collective = Collective::all_reduce;
        comm.group = GroupKind::world;
        comm.payload_bytes = 4;
        const TensorId state = builder.tensor("norm", DType::f32, {1}, TensorRole::optimizer_state);
        builder.communicate(comm, {state}, {state});
        norm = std::move(builder).take();
    }
    set_programs();
}

void TwoStages::set_programs() {
    const auto item = [](ItemKind kind, std::size_t place, int stage, int peer = -1) {
        const int micro_batch = kind == ItemKind::optimizer ? -1 : 0;
        return Item{kind, TemplateId(place), {Context{stage, 0, micro_batch}, {}}, peer};
    };
    using K = ItemKind;
    programs[0] = {{0},
                   {item(K::forward, 0, 0), item(K::send, 1, 0, 1), item(K::recv, 2, 0, 1),
                    item(K::backward, 3, 0), item(K::optimizer, 4, 0), item(K::optimizer, 5, 0)}};
    programs[1] = {{1},
                   {item(K::recv, 6, 1, 0), item(K::forward, 7, 1), item(K::backward, 8, 1),
                    item(K::send, 9, 1, 0), item(K::optimizer, 10, 1), item(K::optimizer, 5, 1)}};
}

std::vector<ChunkTemplate> TwoStages::all_templates() const {
    return {forward[0],  messages[0], messages[3], backward[0], optimizer[0], norm,
            messages[1], forward[1],  backward[1], messages[2], optimizer[1]};
}

ExecutionGraph TwoStages::freeze() const {
    GraphBuilder builder(instances);
    std::vector<TemplateId> ids;
    for (const ChunkTemplate& chunk : all_templates()) {
        ids.push_back(builder.add(chunk));
    }
    for (RankProgram program : programs) {
        for (Item& item : program.items) {
            item.chunk = ids[item.chunk.index()];
        }
        builder.add(std::move(program));
    }
    return builder.freeze();
}

}  // namespace r1::test
