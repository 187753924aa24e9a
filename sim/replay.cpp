// Executes a ReplayDag on an engine (declared in replay_dag.hpp).
#include <algorithm>
#include <cmath>
#include <span>

#include "model/base/check.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

namespace {

constexpr TimePs kNever = -1;

struct Span {
    TimePs start = kNever;
    TimePs end = kNever;
};

class Replayer {
public:
    Replayer(const ReplayDag& dag, ReplayEngine& engine)
        : dag_(dag),
          engine_(engine),
          first_(dag.lanes.size()),
          shown_(dag.lanes.size(), kNotShown),
          joint_missing_(dag.joint_count()),
          joint_spans_(dag.joint_count()) {
        for (std::uint32_t lane = 0; lane < dag.lanes.size(); ++lane) {
            first_[lane] = waiting_.size();
            for (const ReplayNode& node : program(lane)) {
                waiting_.push_back(node.predecessors);
            }
            const std::size_t shown = spans_.size();
            if (shown < dag.shown.size() && dag.shown[shown] == lane) {
                shown_[lane] = static_cast<std::uint32_t>(shown);
                spans_.emplace_back(program(lane).size());
                item_offsets_.push_back(dag.item_offsets(program(lane)));
            }
        }
        for (std::uint32_t joint = 0; joint < dag.joint_count(); ++joint) {
            dag.for_each_part(joint, [&](LanePart) { ++joint_missing_[joint]; });
        }
    }

    void run() {
        for (std::uint32_t lane = 0; lane < dag_.lanes.size(); ++lane) {
            for (std::uint32_t node = 0; node < program(lane).size(); ++node) {
                if (waiting_[first_[lane] + node] == 0) {
                    ready({lane, node});
                }
            }
        }
        engine_.run([this](ActivityId id, TimePs now) { complete(id, now); });
        R1_CHECK(completed_ == waiting_.size());  // else programs wait for each other
    }

    // In the timeline's order: by lane, item and op. All ops of an item have run, each once.
    [[nodiscard]] Timeline timeline() const {
        Timeline timeline;
        timeline.lanes = dag_.shown_lanes;
        std::size_t ops = 0;
        for (const std::vector<std::size_t>& offsets : item_offsets_) {
            ops += offsets.back();
        }
        timeline.intervals.reserve(ops);
        for (std::uint32_t shown = 0; shown < spans_.size(); ++shown) {
            add_lane(shown, timeline.intervals);
        }
        return timeline;
    }

private:
    [[nodiscard]] const ReplayProgram& program(std::uint32_t lane) const {
        return dag_.programs[dag_.program_of(lane)];
    }
    [[nodiscard]] static bool is_joint(const ReplayNode& node) {
        return node.kind == NodeKind::exchange || node.kind == NodeKind::collective;
    }

    void ready(LanePart part) {
        const ReplayNode& node = program(part.lane)[part.node];
        if (!is_joint(node)) {
            note_start(part, engine_.now());
            engine_.start(first_[part.lane] + part.node, dag_.activity(part.lane, node));
            return;
        }
        // It starts when the last is ready, as the real one ends.
        const std::uint32_t joint = dag_.joint_of(part.lane, node);
        R1_CHECK(joint_missing_[joint] > 0);
        if (--joint_missing_[joint] == 0) {
            joint_spans_[joint].start = engine_.now();
            engine_.start(waiting_.size() + joint, dag_.joint_activity(joint));
        }
    }

    void complete(ActivityId id, TimePs now) {
        if (id < waiting_.size()) {
            const auto after = std::upper_bound(first_.begin(), first_.end(), id);
            const auto lane = static_cast<std::uint32_t>(after - first_.begin() - 1);
            finish({lane, static_cast<std::uint32_t>(id - first_[lane])}, now);
            return;
        }
        const auto joint = static_cast<std::uint32_t>(id - waiting_.size());
        Span& span = joint_spans_[joint];
        R1_CHECK(span.start != kNever && span.end == kNever);
        span.end = now;
        dag_.for_each_part(joint, [&](LanePart part) {
            note_start(part, span.start);
            finish(part, now);
        });
    }

    void note_start(LanePart part, TimePs start) {
        if (shown_[part.lane] != kNotShown) {
            Span& span = spans_[shown_[part.lane]][part.node];
            R1_CHECK(span.start == kNever);
            span.start = start;
        }
    }

    void finish(LanePart part, TimePs now) {
        if (shown_[part.lane] != kNotShown) {
            Span& span = spans_[shown_[part.lane]][part.node];
            R1_CHECK(span.start != kNever && span.end == kNever);
            span.end = now;
        }
        ++completed_;
        const ReplayNode& node = program(part.lane)[part.node];
        for (const std::uint32_t successor : node.successors) {
            one_less({part.lane, successor});
        }
        if (node.kind == NodeKind::send) {
            one_less({peer_of(part.lane, node), static_cast<std::uint32_t>(node.other)});
        }
    }

    void one_less(LanePart part) {
        std::uint16_t& waiting = waiting_[first_[part.lane] + part.node];
        R1_CHECK(waiting > 0);
        if (--waiting == 0) {
            ready(part);
        }
    }

    // The lane at the other end of a message.
    [[nodiscard]] std::uint32_t peer_of(std::uint32_t lane, const ReplayNode& node) const {
        return static_cast<std::uint32_t>(node.peer) * dag_.lanes_per_program +
               lane % dag_.lanes_per_program;
    }

    // A receive is on the wire from its send's start, once the receive before it is through.
    [[nodiscard]] TimePs start_of(std::uint32_t lane, const ReplayNode& node,
                                  const std::vector<Span>& spans, const Span& span) const {
        if (node.kind != NodeKind::receive) {
            return span.start;
        }
        const std::uint32_t sender = shown_[peer_of(lane, node)];
        R1_CHECK(sender != kNotShown);  // what a lane shows, its peers show
        TimePs begin = spans_[sender][static_cast<std::size_t>(node.other)].start;
        if (node.previous >= 0) {
            begin = std::max(begin, spans[static_cast<std::size_t>(node.previous)].end);
        }
        return std::min(begin, span.end);
    }

    void add_lane(std::uint32_t shown, std::vector<Interval>& intervals) const {
        const std::uint32_t lane = dag_.shown[shown];
        const ReplayProgram& nodes = program(lane);
        const std::vector<std::size_t>& offsets = item_offsets_[shown];
        const std::size_t first = intervals.size();
        intervals.resize(first + offsets.back(), {{}, 0, kNever, kNever});
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            const Span& span = spans_[shown][i];
            expand({shown, nodes[i].item, 0}, dag_.segment(nodes[i]),
                   {start_of(lane, nodes[i], spans_[shown], span), span.end},
                   std::span(intervals).subspan(first + offsets[nodes[i].item]));
        }
    }

    // `item`: where the intervals of its ops begin.
    static void expand(OpRef ref, const Segment& segment, const Span& span,
                       std::span<Interval> item) {
        const double length = static_cast<double>(span.end - span.start);
        const auto at_share = [&](double share) {
            return span.start + static_cast<TimePs>(std::llround(length * share));
        };
        for (std::size_t i = 0; i < segment.ops.size(); ++i) {
            const bool last = i + 1 == segment.ops.size();
            ref.op = segment.ops[i].value;
            R1_CHECK(ref.op < item.size() && item[ref.op].start == kNever);
            item[ref.op] = {ref, 0, at_share(segment.share_begin[i]),
                            last ? span.end : at_share(segment.share_end[i])};
        }
    }

    static constexpr std::uint32_t kNotShown = UINT32_MAX;

    const ReplayDag& dag_;
    ReplayEngine& engine_;
    std::vector<std::size_t> first_;  // by lane: where its nodes begin in waiting_
    std::vector<std::uint16_t> waiting_;
    std::vector<std::uint32_t> shown_;                    // by lane, in spans_
    std::vector<std::vector<Span>> spans_;                // of shown lanes, by node
    std::vector<std::vector<std::size_t>> item_offsets_;  // of shown lanes
    std::vector<std::uint32_t> joint_missing_;
    std::vector<Span> joint_spans_;
    std::size_t completed_ = 0;
};

}  // namespace

Timeline replay(const ReplayDag& dag, ReplayEngine& engine) {
    Replayer replayer(dag, engine);
    replayer.run();
    return replayer.timeline();
}

}  // namespace r1
