#include "sim/recorded_step.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "model/base/check.hpp"
#include "sim/sm_sharing.hpp"

namespace r1 {

// Follows the shown lanes through the DAG as the replay did.
class StepRecorder {
public:
    StepRecorder(const ReplayDag& dag, const Timeline& timeline, RecordedStep& step)
        : dag_(dag),
          intervals_(dag, timeline),
          works_(dag),
          sharing_(dag, intervals_, works_),
          step_(step),
          shown_per_program_(static_cast<std::uint32_t>(dag.shown.size() / dag.programs.size())),
          joint_parts_(dag.joint_count()) {
        for (std::uint32_t shown = 0; shown < dag.shown.size(); ++shown) {
            first_.push_back(waiting_.size());
            for (std::uint32_t node = 0; node < program(shown).size(); ++node) {
                waiting_.push_back(program(shown)[node].predecessors);
                if (is_joint(program(shown)[node])) {
                    joint_parts_[joint_of({shown, node})].push_back({shown, node});
                }
            }
        }
        event_index_.resize(waiting_.size());
        ready_at_.resize(waiting_.size());
        joint_ready_.resize(joint_parts_.size());
    }

    void run() {
        step_.works_ = works_.all();
        step_.works_.emplace_back();  // of receives
        for (std::uint32_t shown = 0; shown < dag_.shown.size(); ++shown) {
            for (std::uint32_t node = 0; node < program(shown).size(); ++node) {
                if (program(shown)[node].predecessors == 0) {
                    ready({shown, node});
                }
            }
        }
        for (std::size_t next = 0; next < order_.size(); ++next) {
            record(order_[next]);
        }
        R1_CHECK(recorded_ == waiting_.size());
        connect();
    }

private:
    // A node of a shown lane; of what lanes do at once, the part of the first.
    struct Part {
        std::uint32_t shown = 0;
        std::uint32_t node = 0;
    };

    [[nodiscard]] const ReplayProgram& program(std::uint32_t shown) const {
        return intervals_.program(shown);
    }
    [[nodiscard]] const ReplayNode& node_of(Part part) const {
        return program(part.shown)[part.node];
    }
    [[nodiscard]] std::size_t place_of(Part part) const { return first_[part.shown] + part.node; }
    [[nodiscard]] static bool is_joint(const ReplayNode& node) {
        return node.kind == NodeKind::exchange || node.kind == NodeKind::collective;
    }
    [[nodiscard]] std::uint32_t joint_of(Part part) const {
        return dag_.joint_of(dag_.shown[part.shown], node_of(part));
    }
    // Of its event; the part itself must stay where it is.
    [[nodiscard]] std::span<const Part> parts_of(const Part& part) const {
        if (is_joint(node_of(part))) {
            return joint_parts_[joint_of(part)];
        }
        return {&part, 1};
    }

    void ready(Part part) {
        if (is_joint(node_of(part))) {
            const std::uint32_t joint = joint_of(part);
            if (++joint_ready_[joint] < joint_parts_[joint].size()) {
                return;
            }
            part = joint_parts_[joint].front();
        }
        order_.push_back(part);
    }

    // Its event, and what waits for it.
    void record(Part part) {
        const ReplayNode& node = node_of(part);
        const auto index = static_cast<std::uint32_t>(step_.events_.size());
        TimePs ready_at = 0;
        for (const Part& each : parts_of(part)) {
            event_index_[place_of(each)] = index;
            ready_at = std::max(ready_at, ready_at_[place_of(each)]);
        }
        const TimePs end = intervals_.last(part.shown, node).end;
        step_.events_.push_back(event_of(part, ready_at, end));
        for (const Part& each : parts_of(part)) {
            ++recorded_;
            for (const std::uint32_t successor : node_of(each).successors) {
                one_less({each.shown, successor}, end);
            }
            if (node_of(each).kind == NodeKind::send) {
                one_less(other_end(each), end);
            }
        }
    }

    RecordedStep::Event event_of(Part part, TimePs ready_at, TimePs end) {
        const ReplayNode& node = node_of(part);
        const std::uint32_t lane = dag_.shown[part.shown];
        RecordedStep::Event event;
        if (node.kind == NodeKind::receive) {
            event.lag = end - ready_at;
            event.work = static_cast<std::uint32_t>(works_.all().size());
            return event;
        }
        // Local work starts when it is ready: its first op may do so after a gap.
        const bool local = node.kind == NodeKind::local;
        event.lag = local ? 0 : intervals_.first(part.shown, node).start - ready_at;
        event.duration = end - ready_at - event.lag;
        event.delay = std::min(to_ps(works_.delay(lane, node)), event.duration);
        event.work = works_.index(lane, node);
        const SmShare& share = sharing_.of(part.shown, part.node);
        if (share.own < 1) {
            const RateShares mixed = share.mixed(works_.all()[event.work].rates);
            event.work = static_cast<std::uint32_t>(step_.works_.size());
            step_.works_.push_back({mixed, {}});
        }
        return event;
    }

    // The shown lanes of all programs are of the same replicas.
    [[nodiscard]] Part other_end(Part send) const {
        const ReplayNode& node = node_of(send);
        return {static_cast<std::uint32_t>(node.peer) * shown_per_program_ +
                    send.shown % shown_per_program_,
                static_cast<std::uint32_t>(node.other)};
    }

    void one_less(Part part, TimePs now) {
        TimePs& ready_at = ready_at_[place_of(part)];
        ready_at = std::max(ready_at, now);
        if (--waiting_[place_of(part)] == 0) {
            ready(part);
        }
    }

    void connect() {
        for (std::size_t i = 0; i < order_.size(); ++i) {
            for (const Part& each : parts_of(order_[i])) {
                for (const std::uint32_t successor : node_of(each).successors) {
                    step_.successors_.push_back(event_index_[first_[each.shown] + successor]);
                }
                if (node_of(each).kind == NodeKind::send) {
                    step_.successors_.push_back(event_index_[place_of(other_end(each))]);
                }
            }
            step_.events_[i].successors_end = static_cast<std::uint32_t>(step_.successors_.size());
        }
    }

    const ReplayDag& dag_;
    NodeIntervals intervals_;
    WorkTimes works_;
    SmSharing sharing_;
    RecordedStep& step_;
    std::uint32_t shown_per_program_;
    std::vector<std::size_t> first_;  // by shown lane: where its nodes begin in what is by node
    // By node of a shown lane:
    std::vector<std::uint16_t> waiting_;
    std::vector<TimePs> ready_at_;
    std::vector<std::uint32_t> event_index_;
    // By joint:
    std::vector<std::vector<Part>> joint_parts_;
    std::vector<std::size_t> joint_ready_;
    std::vector<Part> order_;  // by event
    std::size_t recorded_ = 0;
};

RecordedStep::RecordedStep(const ReplayDag& dag, const Timeline& timeline) {
    StepRecorder(dag, timeline, *this).run();
}

TimePs RecordedStep::step_time(const Speeds& speeds) const {
    std::vector<double> more;  // than it was, of a work's time after the delay
    for (const WorkTime& work : works_) {
        more.push_back(work.factor(speeds) - 1);
    }
    const double more_delay = 1 / speeds.rest - 1;
    std::vector<TimePs> ready_at(events_.size());
    TimePs last = 0;
    std::uint32_t successor = 0;
    for (std::size_t i = 0; i < events_.size(); ++i) {
        const Event& event = events_[i];
        const double change = static_cast<double>(event.delay) * more_delay +
                              static_cast<double>(event.duration - event.delay) * more[event.work];
        const TimePs end = ready_at[i] + event.lag + event.duration + std::llround(change);
        last = std::max(last, end);
        for (; successor < event.successors_end; ++successor) {
            TimePs& ready = ready_at[successors_[successor]];
            ready = std::max(ready, end);
        }
    }
    return last;
}

}  // namespace r1
