#include "model/timeline/overlap.hpp"

#include <array>
#include <vector>

#include "model/timeline/spans.hpp"
#include "model/timeline/timeline_index.hpp"

namespace r1 {

namespace {

struct LaneSpans {
    std::vector<Span> compute;
    std::vector<Span> comm;
    std::vector<Span> one_f_one_b;  // those of comm that are of overlapped chunks
    std::array<std::vector<Span>, kCollectiveCount> by_kind;
};

LaneSpans united_spans(const TimelineIndex& index, std::uint32_t lane) {
    LaneSpans spans;
    const auto items = static_cast<std::uint32_t>(index.items(lane).size());
    for (std::uint32_t item = 0; item < items; ++item) {
        const std::vector<Op>& ops = index.chunk(lane, item).ops;
        const bool overlapped = index.items(lane)[item].kind == ItemKind::overlapped;
        for (std::uint32_t i = 0; i < ops.size(); ++i) {
            const Interval* interval = index.find({lane, item, i});
            if (interval == nullptr) {
                continue;
            }
            const Span span{interval->start, interval->end};
            if (const CommOp* comm = ops[i].comm()) {
                if (comm->collective != Collective::notify) {  // waits, moves nothing
                    spans.comm.push_back(span);
                    if (overlapped) {
                        spans.one_f_one_b.push_back(span);
                    }
                }
                spans.by_kind[static_cast<std::size_t>(comm->collective)].push_back(span);
            } else if (computes(ops[i].stream)) {
                spans.compute.push_back(span);
            }
        }
    }
    unite(spans.compute);
    unite(spans.comm);
    unite(spans.one_f_one_b);
    for (std::vector<Span>& kind : spans.by_kind) {
        unite(kind);
    }
    return spans;
}

}  // namespace

Overlap comm_overlap(const ExecutionGraph& graph, const Timeline& timeline) {
    const TimelineIndex index(graph, timeline);
    Overlap result;
    const double ranks = index.ranks();
    for (std::uint32_t lane = 0; lane < index.lane_count(); ++lane) {
        const LaneSpans spans = united_spans(index, lane);
        const double weight = static_cast<double>(index.lanes()[lane].multiplicity) / ranks;
        const auto add = [&](const std::vector<Span>& comm, double& total_s, double& exposed_s) {
            const TimePs total = length(comm);
            const TimePs exposed = total - common_length(comm, spans.compute);
            total_s += weight * from_ps(total).value();
            exposed_s += weight * from_ps(exposed).value();
        };
        add(spans.comm, result.comm_total_s, result.comm_exposed_s);
        add(spans.one_f_one_b, result.one_f_one_b.total_s, result.one_f_one_b.exposed_s);
        for (std::size_t kind = 0; kind < kCollectiveCount; ++kind) {
            if (!spans.by_kind[kind].empty()) {
                CommTime& time = result.by_kind[std::string(name(static_cast<Collective>(kind)))];
                add(spans.by_kind[kind], time.total_s, time.exposed_s);
            }
        }
    }
    return result;
}

}  // namespace r1
