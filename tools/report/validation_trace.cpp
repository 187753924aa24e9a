#include "tools/report/validation_trace.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>

#include <fmt/format.h>

#include "tools/report/trace_stream.hpp"

namespace r1 {

namespace {

// An aligned op, and which of its two intervals is shown.
struct ShownOp {
    const AlignedGraph* graph = nullptr;
    const AlignedOp* pair = nullptr;
    const Interval* shown = nullptr;
};
using Streams = std::array<std::vector<ShownOp>, kStreamCount>;

void write_op(TraceStream& trace, std::size_t track, const ShownOp& op) {
    const Interval& measured = *op.pair->measured;
    const Interval& simulated = *op.pair->simulated;
    const RecordedOp& what = op.graph->measured->op(measured.op);
    const std::string args = fmt::format(
        R"("phase":"{}","layer":{},"item":{},"op":{},"iteration":{},"measured_ps":{},)"
        R"("simulated_ps":{})",
        name(what.phase), what.layer, measured.op.item, measured.op.op, measured.iteration,
        measured.end - measured.start, simulated.end - simulated.start);
    trace.slice(track, what.kind, name(what.phase), op.shown->start, op.shown->end, args);
}

void write_process(TraceStream& trace, std::uint32_t pid, const std::string& title,
                   Streams& streams) {
    trace.process(pid, title);
    for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
        std::vector<ShownOp>& ops = streams[stream];
        if (ops.empty()) {
            continue;
        }
        std::stable_sort(ops.begin(), ops.end(), [](const ShownOp& a, const ShownOp& b) {
            return a.shown->start < b.shown->start;
        });
        trace.track(stream, name(static_cast<Stream>(stream)));
        for (const ShownOp& op : ops) {
            write_op(trace, stream, op);
        }
    }
}

}  // namespace

void write_validation_trace(std::ostream& out, const std::vector<AlignedGraph>& graphs) {
    std::map<RankId, std::array<Streams, 2>> ranks;
    for (const AlignedGraph& graph : graphs) {
        for (const AlignedOp& pair : graph.ops) {
            const OpRef ref = pair.measured->op;
            const auto stream = static_cast<std::size_t>(graph.measured->op(ref).stream);
            auto& [measured, simulated] = ranks[graph.measured->timeline.lanes[ref.lane].rank];
            measured[stream].push_back({&graph, &pair, pair.measured});
            simulated[stream].push_back({&graph, &pair, pair.simulated});
        }
    }
    TraceStream trace(out);
    for (auto& [rank, streams] : ranks) {
        write_process(trace, 2 * rank.value, fmt::format("rank {}, measured", rank.value),
                      streams[0]);
        write_process(trace, 2 * rank.value + 1, fmt::format("rank {}, simulated", rank.value),
                      streams[1]);
    }
    trace.finish();
}

}  // namespace r1
