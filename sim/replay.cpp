// Executes a ReplayDag on an engine (declared in replay_dag.hpp).
#include <algorithm>
#include <cmath>

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

    [[nodiscard]] Timeline timeline() const {
        Timeline timeline;
        timeline.lanes = dag_.lanes;
        for (std::size_t i = 0; i < dag_.nodes.size(); ++i) {
            for (const NodeRun& run : dag_.nodes[i].runs) {
                expand(i, run, timeline);
            }
        }
        timeline.sort();
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

    void expand(std::size_t node, const NodeRun& run, Timeline& timeline) const {
        const TimePs begin = start_of(node);
        const double length = static_cast<double>(ends_[node] - begin);
        const auto at = [&](double share) {
            return begin + static_cast<TimePs>(std::llround(length * share));
        };
        for (std::size_t i = 0; i < run.segment->ops.size(); ++i) {
            const bool last = i + 1 == run.segment->ops.size();
            timeline.intervals.push_back({{run.lane, run.item, run.segment->ops[i].value},
                                          0,
                                          at(run.segment->share_begin[i]),
                                          last ? ends_[node] : at(run.segment->share_end[i])});
        }
    }

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
