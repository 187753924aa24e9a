// A step small enough to be timed by hand, and schedules with constant chunk times as timelines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "model/graph/chunk_builder.hpp"
#include "model/graph/graph_builder.hpp"
#include "model/schedule/schedule_times.hpp"
#include "model/timeline/timeline.hpp"

namespace r1::test {

inline constexpr TimePs kSecond = 1'000'000'000'000;

// Two pipeline ranks, one micro-batch: F of stage 0, F and BW of stage 1, BW of stage 0, optimizer.
//
//     program 0: 0 F, 1 send, 2 recv, 3 BW, 4 optimizer
//     program 1: 0 recv, 1 F, 2 BW, 3 send, 4 optimizer
class HandGraph {
public:
    // F of stage 0: norm -> dispatch (comm) beside a second norm -> sum of both.
    static ChunkTemplate first_forward(double dispatch_bytes = 0) {
        ChunkBuilder builder("F(0)");
        builder.set_layer(0);
        const TensorId a = activation(builder, "a");
        const TensorId b = activation(builder, "b");
        const TensorId d = activation(builder, "d");
        const TensorId tokens = builder.tensor("tokens", DType::bf16, {4, 8}, TensorRole::input);
        norm(builder, tokens, a);
        builder.set_stream(Stream::comm);
        CommOp dispatch;
        dispatch.collective = Collective::dispatch;
        dispatch.group = GroupKind::expert_parallel;
        dispatch.tokens = 4;
        dispatch.payload_bytes = dispatch_bytes;  // a copy of a token
        builder.communicate(dispatch, {a}, {d});
        builder.set_stream(Stream::compute);
        norm(builder, a, b);
        builder.compute(KernelId::residual_add, {4, 8}, {b, d},
                        {activation(builder, "hidden.out")});
        return std::move(builder).take();
    }

    static ChunkTemplate last_forward() {
        ChunkBuilder builder("F(1)");
        norm(builder, activation(builder, "hidden.in"), activation(builder, "a"));
        return std::move(builder).take();
    }

    // Input gradient, then weight gradient.
    static ChunkTemplate backward(const char* given, const char* result) {
        ChunkBuilder builder("BW");
        const TensorId gradient = activation(builder, given);
        const TensorId a = activation(builder, "a");
        builder.set_phase(Phase::backward_input);
        builder.compute(KernelId::residual_add, {4, 8}, {gradient, a},
                        {activation(builder, result)});
        builder.set_phase(Phase::backward_weight);
        builder.compute(KernelId::gemm_bf16_wgrad, {8, 8, 4}, {gradient, a},
                        {builder.tensor("w.grad", DType::f32, {8, 8}, TensorRole::gradient)});
        return std::move(builder).take();
    }

    static ChunkTemplate message(Collective collective, Phase phase, const char* name) {
        ChunkBuilder builder("message");
        builder.set_phase(phase);
        const bool sends = collective == Collective::send;
        builder.set_stream(sends ? Stream::send : Stream::recv);
        const TensorId tensor = activation(builder, name);
        CommOp comm;
        comm.collective = collective;
        comm.payload_bytes = bytes(builder.at(tensor));
        if (sends) {
            builder.communicate(comm, {tensor}, {});
        } else {
            builder.communicate(comm, {}, {tensor});
        }
        return std::move(builder).take();
    }

    // Partial norm, all-reduce over all ranks, and something that uses the norm.
    static ChunkTemplate optimizer() {
        ChunkBuilder builder("optimizer");
        builder.set_phase(Phase::optimizer);
        const TensorId gradient =
            builder.tensor("w.grad", DType::f32, {8, 8}, TensorRole::gradient);
        const TensorId partial = activation(builder, "partial");
        const TensorId norm = activation(builder, "norm");
        builder.compute(KernelId::gradient_norm, {64}, {gradient}, {partial});
        builder.set_stream(Stream::collective);
        CommOp reduce;
        reduce.collective = Collective::all_reduce;
        reduce.group = GroupKind::world;
        builder.communicate(reduce, {partial}, {norm});
        builder.set_stream(Stream::compute);
        builder.compute(KernelId::gradient_norm, {64}, {norm}, {activation(builder, "used")});
        return std::move(builder).take();
    }

    static ExecutionGraph build(std::int32_t data_parallel = 1, std::int32_t expert_parallel = 1,
                                double dispatch_bytes = 0) {
        GraphBuilder graph({2, data_parallel, expert_parallel});
        const auto item = [&](ItemKind kind, ChunkTemplate chunk, std::int32_t stage,
                              std::int32_t peer = -1) {
            const std::int32_t micro_batch = kind == ItemKind::optimizer ? -1 : 0;
            return Item{
                kind, graph.add(std::move(chunk)), {Context{stage, 0, micro_batch}, {}}, peer};
        };
        const Phase forward = Phase::forward;
        const Phase back = Phase::backward_input;
        const Collective send = Collective::send;
        const Collective recv = Collective::recv;
        graph.add(
            RankProgram{{0},
                        {item(ItemKind::forward, first_forward(dispatch_bytes), 0),
                         item(ItemKind::send, message(send, forward, "hidden.out"), 0, 1),
                         item(ItemKind::recv, message(recv, back, "hidden.out.grad"), 0, 1),
                         item(ItemKind::backward, backward("hidden.out.grad", "tokens.grad"), 0),
                         item(ItemKind::optimizer, optimizer(), 0)}});
        graph.add(RankProgram{{1},
                              {item(ItemKind::recv, message(recv, forward, "hidden.in"), 1, 0),
                               item(ItemKind::forward, last_forward(), 1),
                               item(ItemKind::backward, backward("hidden.in", "hidden.in.grad"), 1),
                               item(ItemKind::send, message(send, back, "hidden.in.grad"), 1, 0),
                               item(ItemKind::optimizer, optimizer(), 1)}});
        return graph.freeze();
    }

    // Seconds:          0         5         10        15        20        25
    //   0 compute       N N n n n   R                 I I I W g     g
    //     comm              D D D D
    //     messages                    s s           r r
    //     data parallel                                         A A
    //   1 compute                         N N N I I W W W g         g g
    //     messages                    r r           s s
    //     data parallel                                         A A
    static void append_lane(Timeline& timeline, RankId rank, std::int32_t program) {
        const auto lane = static_cast<std::uint32_t>(timeline.lanes.size());
        timeline.lanes.push_back({rank, program, 1});
        const auto add = [&](std::uint32_t item, std::uint32_t op, TimePs start, TimePs end) {
            timeline.intervals.push_back({{lane, item, op}, 0, start * kSecond, end * kSecond});
        };
        if (program == 0) {
            add(0, 0, 0, 2), add(0, 1, 2, 6), add(0, 2, 2, 5), add(0, 3, 6, 7);
            add(1, 0, 7, 9);
            add(2, 0, 14, 16);
            add(3, 0, 16, 19), add(3, 1, 19, 20);
            add(4, 0, 20, 21), add(4, 1, 21, 23), add(4, 2, 23, 24);
        } else {
            add(0, 0, 7, 9);
            add(1, 0, 9, 12);
            add(2, 0, 12, 14), add(2, 1, 14, 17);
            add(3, 0, 14, 16);
            add(4, 0, 17, 18), add(4, 1, 21, 23), add(4, 2, 23, 25);
        }
    }
    static Timeline timeline() {
        Timeline timeline;
        append_lane(timeline, RankId(std::size_t{0}), 0);
        append_lane(timeline, RankId(std::size_t{1}), 1);
        return timeline;
    }

private:
    static TensorId activation(ChunkBuilder& builder, const char* name) {
        return builder.tensor(name, DType::bf16, {4, 8});
    }
    static void norm(ChunkBuilder& builder, TensorId input, TensorId output) {
        const TensorId weight = builder.tensor("w", DType::bf16, {8}, TensorRole::parameter);
        builder.compute(KernelId::rms_norm, {4, 8}, {input, weight}, {output});
    }
};

// Of a critical path's time by what it went into.
inline double sum(const std::map<std::string, double>& parts) {
    double total = 0;
    for (const auto& [name, time_s] : parts) {
        total += time_s;
    }
    return total;
}

// Moves an interval to [start, end], in seconds.
inline void set_seconds(Timeline& timeline, OpRef op, double start, double end) {
    for (Interval& interval : timeline.intervals) {
        if (interval.op == op) {
            interval.start = to_ps(Seconds(start));
            interval.end = to_ps(Seconds(end));
        }
    }
}

// A lane a program. The chunks of program p run as those of rank p of the schedule; each divides
// its time evenly among its ops, one after the other. Messages take no time; nor does the
// optimizer.
inline Timeline evenly_timed(const ExecutionGraph& graph, const ScheduleTimes& times) {
    Timeline timeline;
    for (std::uint32_t p = 0; p < graph.programs().size(); ++p) {
        const auto program = static_cast<std::int32_t>(p);
        timeline.lanes.push_back(
            {graph.instances().rank(program, 0), program, graph.instances().data_parallel});
        std::size_t position = 0;
        const std::vector<Item>& items = graph.programs()[p].items;
        for (std::uint32_t i = 0; i < items.size(); ++i) {
            const auto ops = static_cast<std::uint32_t>(graph.chunk(items[i].chunk).ops.size());
            // A message: between the chunks around it. The optimizer: at the end.
            double start = position > 0 ? times.chunks[p][position - 1].second : 0;
            if (items[i].kind == ItemKind::recv) {
                start = times.chunks[p][position].first;
            } else if (items[i].kind == ItemKind::optimizer) {
                start = times.makespan;
            }
            double end = start;
            if (is_chunk(items[i].kind)) {
                std::tie(start, end) = times.chunks[p][position++];
            }
            const auto at = [&](std::uint32_t op) {
                return to_ps(Seconds(start + (end - start) * op / ops));
            };
            for (std::uint32_t op = 0; op < ops; ++op) {
                timeline.intervals.push_back({{p, i, op}, 0, at(op), at(op + 1)});
            }
        }
    }
    return timeline;
}

}  // namespace r1::test
