#include "sim/recorded_times.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "model/base/check.hpp"
#include "model/base/diagnostics.hpp"
#include "model/timeline/alignment.hpp"
#include "model/timeline/spans.hpp"

namespace r1 {

namespace {

bool runs_kernels(const ReplayDag& dag, const ReplayNode& node) {
    return node.kind == NodeKind::local && dag.locals[node.work].kind != LocalKind::wait;
}

// Turns how long kernels took that shared the SMs into what each takes alone.
class SharedSms {
public:
    void add(const Span& kernel) {
        ++changes_[kernel.first];
        --changes_[kernel.second];
    }
    // Once all are added.
    void finish() {
        double alone = 0;
        int running = 0;
        TimePs before = 0;
        for (const auto& [time, change] : changes_) {
            alone += running > 0 ? static_cast<double>(time - before) / running : 0;
            alone_[time] = alone;
            running += change;
            before = time;
        }
    }
    // Of one that was added.
    [[nodiscard]] Seconds time_alone(const Span& kernel) const {
        return Seconds((alone_.at(kernel.second) - alone_.at(kernel.first)) * 1e-12);
    }

private:
    std::map<TimePs, int> changes_;   // of the number that run
    std::map<TimePs, double> alone_;  // ps that a kernel alone would have had until then
};

// What a lane of the DAG did in a timeline.
class RecordedLane {
public:
    RecordedLane(const ReplayDag& dag, const ExecutionGraph& graph, const CapturedStep& step,
                 std::uint32_t lane)
        : dag_(dag), graph_(graph), step_(step), lane_(dag.lanes[lane]) {
        const auto found = lane_for(lane_, step.timeline.lanes);
        if (!found) {
            throw InputError(step.file,
                             fmt::format("has no lane for rank {}, which runs program {}",
                                         lane_.rank.value, lane_.program));
        }
        recorded_ = *found;
        for (const ReplayNode& node : dag.programs[dag.program_of(lane)]) {
            if (runs_kernels(dag, node) && dag.locals[node.work].kind == LocalKind::compute) {
                for (const Span& kernel : kernels(node)) {
                    sms_.add(kernel);
                }
            }
        }
        sms_.finish();
    }

    // Of each op of a node that runs kernels, with the SMs for itself.
    [[nodiscard]] std::vector<Seconds> times(const ReplayNode& node) const {
        const bool shares = dag_.locals[node.work].kind == LocalKind::compute;
        std::vector<Seconds> times;
        for (const Span& kernel : kernels(node)) {
            times.push_back(shares ? sms_.time_alone(kernel)
                                   : from_ps(kernel.second - kernel.first));
        }
        return times;
    }

private:
    [[nodiscard]] const Interval& interval(const ReplayNode& node, OpIndex index) const {
        const Interval* found = step_.timeline.find({recorded_, node.item, index.value});
        if (found == nullptr) {
            const Item& item =
                graph_.programs()[static_cast<std::size_t>(lane_.program)].items[node.item];
            throw InputError(step_.file,
                             fmt::format("lacks op {} of item {} of rank {}: {}", index.value,
                                         node.item, lane_.rank.value,
                                         kind_name(graph_.chunk(item.chunk).ops[index.index()])));
        }
        return *found;
    }

    // Of a simulated timeline, each with the gap before it.
    [[nodiscard]] std::vector<Span> kernels(const ReplayNode& node) const {
        const Segment& segment = dag_.segment(node);
        std::vector<Span> spans;
        for (const OpIndex op : segment.ops) {
            const Interval& found = interval(node, op);
            spans.emplace_back(found.start, found.end);
        }
        if (!step_.measured) {
            const double after_gap = 1 - segment.share_begin.front();
            const double length = static_cast<double>(spans.back().second - spans.front().first);
            spans.front().first =
                spans.back().second -
                (after_gap > 0 ? std::llround(length / after_gap) : static_cast<TimePs>(length));
            for (std::size_t i = 1; i < spans.size(); ++i) {
                spans[i].first = spans[i - 1].second;
            }
        }
        return spans;
    }

    const ReplayDag& dag_;
    const ExecutionGraph& graph_;
    const CapturedStep& step_;
    const Lane& lane_;
    std::uint32_t recorded_ = 0;  // its lane in the timeline
    SharedSms sms_;
};

// The segment with ops that took these times in all lanes together.
Segment with_times(Segment segment, const std::vector<Seconds>& times, bool measured) {
    Seconds sum;
    for (const Seconds time : times) {
        sum += time;
    }
    if (sum <= Seconds(0)) {
        return segment;
    }
    double end_before = 0;  // as it was lowered
    Seconds until;
    for (std::size_t i = 0; i < times.size(); ++i) {
        const double whole = segment.share_end[i] - end_before;
        const double gap =
            measured || whole <= 0 ? 0 : (segment.share_begin[i] - end_before) / whole;
        end_before = segment.share_end[i];
        segment.share_begin[i] = (until + times[i] * gap) / sum;
        until += times[i];
        segment.share_end[i] = until / sum;
    }
    segment.share_end.back() = 1;
    return segment;
}

// Gives one item of a program segments and local work of its own.
class ItemTimes {
public:
    ItemTimes(ReplayDag& dag, const std::vector<RecordedLane>& lanes, bool measured)
        : dag_(dag), lanes_(lanes), measured_(measured) {}

    // Those of one item: its segments in order.
    void take(std::span<ReplayNode> nodes) {
        const std::uint32_t list = nodes.front().segments;
        std::vector<Segment> segments = dag_.segments[list];
        const auto first = static_cast<std::uint32_t>(dag_.locals.size());
        for (ReplayNode& node : nodes) {
            LocalWork work{LocalKind::wait, {Seconds(0)}};  // of communication: not used
            if (node.kind == NodeKind::local) {
                work = dag_.locals[node.work];
            }
            if (runs_kernels(dag_, node)) {
                Segment& segment = segments[node.segment];
                std::vector<Seconds> sums(segment.ops.size());
                work.times.clear();
                for (const RecordedLane& lane : lanes_) {
                    const std::vector<Seconds> times = lane.times(node);
                    Seconds whole;
                    for (std::size_t i = 0; i < times.size(); ++i) {
                        sums[i] += times[i];
                        whole += times[i];
                    }
                    work.times.push_back(whole);
                }
                segment = with_times(std::move(segment), sums, measured_);
            }
            dag_.locals.push_back(std::move(work));
        }
        for (ReplayNode& node : nodes) {
            node.segments = static_cast<std::uint32_t>(dag_.segments.size());
            node.work = node.kind == NodeKind::local ? first + node.segment : node.work;
        }
        dag_.segments.push_back(std::move(segments));
    }

private:
    ReplayDag& dag_;
    const std::vector<RecordedLane>& lanes_;
    bool measured_;
};

}  // namespace

void take_recorded_times(ReplayDag& dag, const ExecutionGraph& graph, const CapturedStep& step) {
    const ReplayDag lowered = dag;  // what lanes did is read by its nodes
    for (std::uint32_t p = 0; p < dag.programs.size(); ++p) {
        std::vector<RecordedLane> lanes;
        for (std::uint32_t i = 0; i < dag.lanes_per_program; ++i) {
            lanes.emplace_back(lowered, graph, step, p * dag.lanes_per_program + i);
        }
        ItemTimes times(dag, lanes, step.measured);
        ReplayProgram& nodes = dag.programs[p];
        for (std::size_t begin = 0; begin < nodes.size();) {
            std::size_t end = begin;
            while (end < nodes.size() && nodes[end].item == nodes[begin].item) {
                ++end;
            }
            times.take(std::span(nodes).subspan(begin, end - begin));
            begin = end;
        }
    }
    dag.stragglers = {};  // the times have them
}

}  // namespace r1
