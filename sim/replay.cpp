// Executes a ReplayDag on an engine (declared in replay_dag.hpp).
#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "model/base/check.hpp"
#include "sim/replay_dag.hpp"

namespace r1 {

namespace {

class Replayer {
public:
    Replayer(const ReplayDag& dag, ReplayEngine& engine)
        : dag_(dag), engine_(engine), starts_(dag.nodes.size(), -1), ends_(dag.nodes.size(), -1) {
        waiting_.reserve(dag.nodes.size());
        for (const ReplayNode& node : dag.nodes) {
            waiting_.push_back(node.predecessors);
        }
    }

    void run() {
        for (std::size_t i = 0; i < dag_.nodes.size(); ++i) {
            if (waiting_[i] == 0) {
                start(i);
            }
        }
        engine_.run([this](ActivityId id, TimePs now) { complete(id, now); });
        R1_CHECK(completed_ == dag_.nodes.size());  // else programs wait for each other
    }

    // In the timeline's order: by lane, item and op. All ops of an item have run, each once.
    [[nodiscard]] Timeline timeline() const {
        std::vector<std::vector<std::size_t>> first(dag_.lanes.size());  // interval of each item
        for_each_run([&](std::size_t, const NodeRun& run) {
            std::vector<std::size_t>& items = first[run.lane];
            items.resize(std::max<std::size_t>(items.size(), run.item + 1));
            items[run.item] += run.segment->ops.size();
        });
        std::size_t total = 0;
        for (std::vector<std::size_t>& items : first) {
            for (std::size_t& item : items) {
                total += std::exchange(item, total);
            }
        }
        Timeline timeline;
        timeline.lanes = dag_.lanes;
        timeline.intervals.resize(total, {{}, 0, kNotPlaced, kNotPlaced});
        for_each_run([&](std::size_t node, const NodeRun& run) {
            expand(node, run, std::span(timeline.intervals).subspan(first[run.lane][run.item]));
        });
        return timeline;
    }

private:
    void start(std::size_t node) {
        R1_CHECK(starts_[node] < 0);
        starts_[node] = engine_.now();
        engine_.start(node, dag_.nodes[node].activity);
    }

    void complete(ActivityId id, TimePs now) {
        const auto node = static_cast<std::size_t>(id);
        R1_CHECK(starts_[node] >= 0 && ends_[node] < 0);
        ends_[node] = now;
        ++completed_;
        for (const std::uint32_t successor : dag_.nodes[node].successors) {
            if (--waiting_[successor] == 0) {
                start(successor);
            }
        }
    }

    // A receive is on the wire from its send's start, once the receive before it is through.
    [[nodiscard]] TimePs start_of(std::size_t node) const {
        const std::int32_t send = dag_.nodes[node].send;
        if (send < 0) {
            return starts_[node];
        }
        TimePs begin = starts_[static_cast<std::size_t>(send)];
        if (const std::int32_t previous = dag_.nodes[node].previous; previous >= 0) {
            begin = std::max(begin, ends_[static_cast<std::size_t>(previous)]);
        }
        return std::min(begin, ends_[node]);
    }

    template <class Visit>
    void for_each_run(const Visit& visit) const {
        for (std::size_t i = 0; i < dag_.nodes.size(); ++i) {
            for (const NodeRun& run : dag_.nodes[i].runs) {
                visit(i, run);
            }
        }
    }

    // `item`: where the intervals of its ops begin.
    void expand(std::size_t node, const NodeRun& run, std::span<Interval> item) const {
        const TimePs begin = start_of(node);
        const double length = static_cast<double>(ends_[node] - begin);
        const auto at = [&](double share) {
            return begin + static_cast<TimePs>(std::llround(length * share));
        };
        for (std::size_t i = 0; i < run.segment->ops.size(); ++i) {
            const bool last = i + 1 == run.segment->ops.size();
            const std::uint32_t op = run.segment->ops[i].value;
            R1_CHECK(op < item.size() && item[op].start == kNotPlaced);
            item[op] = {{run.lane, run.item, op},
                        0,
                        at(run.segment->share_begin[i]),
                        last ? ends_[node] : at(run.segment->share_end[i])};
        }
    }

    static constexpr TimePs kNotPlaced = -1;

    const ReplayDag& dag_;
    ReplayEngine& engine_;
    std::vector<TimePs> starts_;
    std::vector<TimePs> ends_;
    std::vector<std::uint32_t> waiting_;
    std::size_t completed_ = 0;
};

}  // namespace

Timeline replay(const ReplayDag& dag, ReplayEngine& engine) {
    Replayer replayer(dag, engine);
    replayer.run();
    return replayer.timeline();
}

}  // namespace r1
