#include "tools/report/trace.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "model/timeline/timeline_index.hpp"
#include "tools/report/trace_stream.hpp"

namespace r1 {

namespace {

constexpr std::size_t kChunkTrack = 0;  // streams follow

// One op, or a run of ops that the trace shows as one slice.
struct Segment {
    std::uint32_t item = 0;
    std::uint32_t op = 0;  // the first
    int ops = 1;
    TimePs start = 0;
    TimePs end = 0;
};

class TraceWriter {
public:
    TraceWriter(std::ostream& out, const TimelineIndex& index, TraceDetail detail)
        : stream_(out), index_(index), detail_(detail) {}

    void write() {
        for (std::uint32_t lane = 0; lane < index_.lane_count(); ++lane) {
            lane_ = lane;
            process();
            chunk_track();
            const auto streams = intervals_by_stream();
            for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
                if (!streams[stream].empty()) {
                    stream_track(stream, streams[stream]);
                }
            }
        }
        stream_.finish();
    }

private:
    void process() {
        const Lane& lane = index_.lanes()[lane_];
        std::string title = fmt::format("rank {}, pipeline rank {}", lane.rank.value, lane.program);
        if (lane.multiplicity > 1) {
            title += fmt::format(", stands for {} ranks", lane.multiplicity);
        }
        stream_.process(lane.rank.value, title);
    }

    static std::string context_args(const Context& context, std::string_view prefix = "") {
        std::string text = fmt::format(R"("{}stage":{})", prefix, context.stage);
        if (context.micro_batch >= 0) {  // not the optimizer's
            text += fmt::format(R"(,"{0}micro_batch":{1},"{0}direction":{2})", prefix,
                                context.micro_batch, context.direction);
        }
        return text;
    }

    void chunk_track() {
        stream_.track(kChunkTrack, "chunks");
        const std::vector<Item>& items = index_.items(lane_);
        for (const ChunkSpan& span : index_.chunk_spans(lane_)) {
            const Item& item = items[span.item];
            const auto& [first, second] = item.contexts;
            std::string title = fmt::format("{} {}", name(item.kind), first.micro_batch);
            std::string args = context_args(first);
            if (item.kind == ItemKind::overlapped) {
                title += fmt::format("|{}", second.micro_batch);
                args = context_args(first, "forward_") + "," + context_args(second, "backward_");
            }
            stream_.slice(kChunkTrack, title, name(item.kind), span.start, span.end, args);
        }
        TimePs start = std::numeric_limits<TimePs>::max();
        TimePs end = std::numeric_limits<TimePs>::min();
        for (std::uint32_t item = 0; item < items.size(); ++item) {
            const std::size_t ops = index_.chunk(lane_, item).ops.size();
            for (std::uint32_t op = 0; items[item].kind == ItemKind::optimizer && op < ops; ++op) {
                if (const Interval* interval = index_.find({lane_, item, op})) {
                    start = std::min(start, interval->start);
                    end = std::max(end, interval->end);
                }
            }
        }
        if (start <= end) {
            stream_.slice(kChunkTrack, "optimizer", "optimizer", start, end, "");
        }
    }

    [[nodiscard]] std::array<std::vector<Segment>, kStreamCount> intervals_by_stream() const {
        std::array<std::vector<Segment>, kStreamCount> streams;
        for (std::uint32_t item = 0; item < index_.items(lane_).size(); ++item) {
            const std::vector<Op>& ops = index_.chunk(lane_, item).ops;
            for (std::uint32_t op = 0; op < ops.size(); ++op) {
                if (const Interval* interval = index_.find({lane_, item, op})) {
                    streams[static_cast<std::size_t>(ops[op].stream)].push_back(
                        {item, op, 1, interval->start, interval->end});
                }
            }
        }
        for (std::vector<Segment>& stream : streams) {
            std::stable_sort(stream.begin(), stream.end(),
                             [](const Segment& a, const Segment& b) { return a.start < b.start; });
        }
        return streams;
    }

    [[nodiscard]] const Op& op_of(const Segment& segment) const {
        return index_.chunk(lane_, segment.item).ops[segment.op];
    }
    // Whether `next` goes on with what `segment` does.
    [[nodiscard]] bool continues(const Segment& segment, const Segment& next) const {
        if (detail_ == TraceDetail::ops || next.item != segment.item ||
            next.start - segment.end > kSegmentGapPs) {
            return false;
        }
        const Op& a = op_of(segment);
        const Op& b = op_of(next);
        const bool alike = a.comm() == nullptr
                               ? b.comm() == nullptr
                               : b.comm() != nullptr && kind_name(a) == kind_name(b);
        return alike && a.context == b.context && a.phase == b.phase && a.layer == b.layer;
    }

    void stream_track(std::size_t stream, const std::vector<Segment>& ops) {
        stream_.track(1 + stream, name(static_cast<Stream>(stream)));
        Segment segment = ops.front();
        for (auto next = std::next(ops.begin()); next != ops.end(); ++next) {
            if (continues(segment, *next)) {
                segment.end = std::max(segment.end, next->end);
                ++segment.ops;
            } else {
                segment_slice(1 + stream, segment);
                segment = *next;
            }
        }
        segment_slice(1 + stream, segment);
    }

    void segment_slice(std::size_t track, const Segment& segment) {
        const Op& op = op_of(segment);
        const Item& item = index_.items(lane_)[segment.item];
        const bool by_phase = detail_ == TraceDetail::segments && op.comm() == nullptr;
        std::string title(by_phase ? name(op.phase) : kind_name(op));
        std::string args = context_args(item.contexts[op.context]);
        if (op.layer >= 0) {
            title += detail_ == TraceDetail::segments ? fmt::format(" layer {}", op.layer) : "";
            args += fmt::format(R"(,"layer":{})", op.layer);
        }
        args += fmt::format(R"(,"phase":"{}")", name(op.phase));
        if (segment.ops > 1) {
            args += fmt::format(R"(,"ops":{})", segment.ops);
        }
        stream_.slice(track, title, name(item.kind), segment.start, segment.end, args);
    }

    TraceStream stream_;
    const TimelineIndex& index_;
    TraceDetail detail_;
    std::uint32_t lane_ = 0;
};

}  // namespace

void write_trace(std::ostream& out, const ExecutionGraph& graph, const Timeline& timeline,
                 TraceDetail detail) {
    const TimelineIndex index(graph, timeline);
    TraceWriter(out, index, detail).write();
}

}  // namespace r1
