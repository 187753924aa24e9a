#include "sim/search/least_times.hpp"

#include <algorithm>
#include <map>

#include "model/base/check.hpp"

namespace r1 {

namespace {

// Bytes over each direction of each link that flows of one activity use.
class LinkLoads {
public:
    explicit LinkLoads(const EngineNetwork& network) : network_(network) {}

    void add(const Flow& flow) {
        const double bytes = flow.bytes.value() * flow.multiplicity;
        if (flow.from.valid()) {
            put({0, flow.from.index()}, bytes, network_.endpoints[flow.from.index()].up);
        }
        if (flow.to.valid()) {
            put({1, flow.to.index()}, bytes, network_.endpoints[flow.to.index()].down);
        }
        if (flow.trunks.up.valid()) {
            put({2, flow.trunks.up.index()}, bytes, network_.trunks[flow.trunks.up.index()].up);
        }
        if (flow.trunks.down.valid()) {
            put({3, flow.trunks.down.index()}, bytes,
                network_.trunks[flow.trunks.down.index()].down);
        }
    }
    [[nodiscard]] double longest() const {
        double longest = 0;
        for (const auto& [link, seconds] : seconds_) {
            longest = std::max(longest, seconds);
        }
        return longest;
    }

private:
    using Link = std::pair<int, std::size_t>;  // kind and direction, index

    void put(const Link& link, double bytes, BytesPerSecond bandwidth) {
        seconds_[link] += bytes / bandwidth.value();
    }

    const EngineNetwork& network_;
    std::map<Link, double> seconds_;
};

// Longest paths through the nodes; what lanes do at once is one event with several nodes.
class LongestPaths {
public:
    LongestPaths(const ReplayDag& dag, double compute_factor)
        : dag_(dag), compute_factor_(compute_factor) {
        times_.first.push_back(0);
        for (const ReplayProgram& program : dag.programs) {
            times_.first.push_back(times_.first.back() + program.size());
        }
        times_.duration.resize(times_.first.back());
        times_.start.resize(times_.first.back());
        times_.tail.resize(times_.first.back());
        joint_parts_.resize(dag.joint_count());
        for (std::uint32_t joint = 0; joint < dag.joint_count(); ++joint) {
            dag.for_each_part(joint, [&](LanePart part) { joint_parts_[joint].push_back(part); });
        }
        measure();
        sort();
    }

    LeastTimes run() && {
        for (const LanePart& event : order_) {
            const double start = start_of(event);
            for_each_part(event, [&](LanePart part) { times_.start[index(part)] = start; });
            times_.makespan = std::max(times_.makespan, start + times_.duration[index(event)]);
            for_each_successor(event, [&](LanePart next) {
                double& ready = times_.start[index(next)];
                ready = std::max(ready, start + times_.duration[index(event)]);
            });
        }
        for (auto event = order_.rbegin(); event != order_.rend(); ++event) {
            double tail = 0;
            for_each_successor(*event, [&](LanePart next) {
                tail = std::max(tail, times_.duration[index(next)] + times_.tail[index(next)]);
            });
            for_each_part(*event, [&](LanePart part) { times_.tail[index(part)] = tail; });
        }
        return std::move(times_);
    }

private:
    [[nodiscard]] const ReplayNode& node(LanePart part) const {
        return dag_.programs[part.lane][part.node];
    }
    [[nodiscard]] std::size_t index(LanePart part) const {
        return times_.first[part.lane] + part.node;
    }
    [[nodiscard]] static bool is_joint(const ReplayNode& node) {
        return node.kind == NodeKind::exchange || node.kind == NodeKind::collective;
    }

    template <class Visit>
    void for_each_part(LanePart event, Visit visit) const {
        if (!is_joint(node(event))) {
            visit(event);
            return;
        }
        for (const LanePart& part : joint_parts_[dag_.joint_of(event.lane, node(event))]) {
            visit(part);
        }
    }
    template <class Visit>
    void for_each_successor(LanePart event, Visit visit) const {
        for_each_part(event, [&](LanePart part) {
            for (const std::uint32_t next : node(part).successors) {
                visit({part.lane, next});
            }
            if (node(part).kind == NodeKind::send) {
                visit({static_cast<std::uint32_t>(node(part).peer),
                       static_cast<std::uint32_t>(node(part).other)});
            }
        });
    }
    // The latest of what any of its parts waits for.
    [[nodiscard]] double start_of(LanePart event) const {
        double start = 0;
        for_each_part(event,
                      [&](LanePart part) { start = std::max(start, times_.start[index(part)]); });
        return start;
    }

    void measure() {
        for (std::uint32_t lane = 0; lane < dag_.programs.size(); ++lane) {
            for (std::uint32_t i = 0; i < dag_.programs[lane].size(); ++i) {
                const ReplayNode& here = node({lane, i});
                if (is_joint(here)) {
                    continue;
                }
                Activity activity = dag_.activity(lane, here);
                if (here.kind == NodeKind::local &&
                    dag_.locals[here.work].kind != LocalKind::wait) {
                    activity.delay = activity.delay * compute_factor_;
                    activity.compute_time = activity.compute_time * compute_factor_;
                }
                times_.duration[index({lane, i})] = least_time(activity, dag_.network).value();
            }
        }
        for (std::uint32_t joint = 0; joint < joint_parts_.size(); ++joint) {
            const double time = least_time(dag_.joint_activity(joint), dag_.network).value();
            for (const LanePart& part : joint_parts_[joint]) {
                times_.duration[index(part)] = time;
            }
        }
    }

    // Fills order_: each event after all that it waits for, named by one of its parts.
    void sort() {
        std::vector<std::uint32_t> waiting(times_.duration.size());
        for (std::uint32_t lane = 0; lane < dag_.programs.size(); ++lane) {
            for (std::uint32_t i = 0; i < dag_.programs[lane].size(); ++i) {
                waiting[index({lane, i})] = node({lane, i}).predecessors;
            }
        }
        std::vector<std::size_t> parts_waiting;
        for (const std::vector<LanePart>& parts : joint_parts_) {
            parts_waiting.push_back(parts.size());
        }
        const auto ready = [&](LanePart part) {
            if (!is_joint(node(part)) ||
                --parts_waiting[dag_.joint_of(part.lane, node(part))] == 0) {
                order_.push_back(part);
            }
        };
        for (std::uint32_t lane = 0; lane < dag_.programs.size(); ++lane) {
            for (std::uint32_t i = 0; i < dag_.programs[lane].size(); ++i) {
                if (waiting[index({lane, i})] == 0) {
                    ready({lane, i});
                }
            }
        }
        for (std::size_t done = 0; done < order_.size(); ++done) {
            for_each_successor(order_[done], [&](LanePart next) {
                if (--waiting[index(next)] == 0) {
                    ready(next);
                }
            });
        }
        R1_CHECK(std::all_of(waiting.begin(), waiting.end(), [](auto n) { return n == 0; }));
    }

    const ReplayDag& dag_;
    double compute_factor_;
    LeastTimes times_;
    std::vector<std::vector<LanePart>> joint_parts_;
    std::vector<LanePart> order_;
};

}  // namespace

Seconds least_time(const Activity& activity, const EngineNetwork& network) {
    LinkLoads loads(network);
    double work = activity.compute_time.value();
    for (const Flow& flow : activity.flows) {
        loads.add(flow);
        if (flow.rate_max.value() > 0) {
            work = std::max(work, (flow.bytes / flow.rate_max).value());
        }
    }
    return activity.delay + Seconds(std::max(work, loads.longest()));
}

LeastTimes least_times(const ReplayDag& dag, double compute_factor) {
    R1_CHECK(dag.lanes_per_program == 1);
    return LongestPaths(dag, compute_factor).run();
}

}  // namespace r1
