#include "model/timeline/alignment.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

constexpr std::size_t kMisalignedShown = 10;

// Finds the graphs, lanes and ops of one timeline in the other; collects what it does not find.
class Aligner {
public:
    Aligner(const NamedTimeline& measured, const NamedTimeline& simulated)
        : measured_(measured), simulated_(simulated) {}

    std::vector<AlignedGraph> align() {
        for (const RecordedGraph& graph : simulated_.file.graphs) {
            if (find(measured_, graph.hash) == nullptr) {
                lacks(measured_, "graph " + graph.hash, simulated_);
            }
        }
        for (const RecordedGraph& graph : measured_.file.graphs) {
            const RecordedGraph* other = find(simulated_, graph.hash);
            if (other == nullptr) {
                lacks(simulated_, "graph " + graph.hash, measured_);
            } else if (same_programs(graph, *other)) {
                aligned_.push_back({&graph, other, {}, {}});
                align_lanes(aligned_.back());
            }
        }
        if (aligned_.empty() && problems_ == 0) {
            problem(measured_, "holds no graph: there is nothing to align");
        }
        if (problems_ > kMisalignedShown) {
            diagnostics_.error(
                {measured_.name, 0, 0}, "",
                fmt::format("{} more are not aligned", problems_ - kMisalignedShown));
        }
        diagnostics_.throw_if_errors();
        return std::move(aligned_);
    }

private:
    void problem(const NamedTimeline& timeline, std::string message) {
        if (problems_++ < kMisalignedShown) {
            diagnostics_.error({timeline.name, 0, 0}, "", std::move(message));
        }
    }
    void lacks(const NamedTimeline& timeline, const std::string& what, const NamedTimeline& other) {
        problem(timeline, fmt::format("has no {}, which {} has", what, other.name));
    }

    static const RecordedGraph* find(const NamedTimeline& timeline, const std::string& hash) {
        const std::vector<RecordedGraph>& graphs = timeline.file.graphs;
        const auto found = std::find_if(graphs.begin(), graphs.end(),
                                        [&](const RecordedGraph& g) { return g.hash == hash; });
        return found == graphs.end() ? nullptr : &*found;
    }

    // Files of one graph say the same of it.
    bool same_programs(const RecordedGraph& a, const RecordedGraph& b) {
        const auto same_item = [](const RecordedItem& x, const RecordedItem& y) {
            return x.kind == y.kind && x.ops == y.ops;
        };
        const auto same_program = [&](const RecordedProgram& x, const RecordedProgram& y) {
            return std::equal(x.begin(), x.end(), y.begin(), y.end(), same_item);
        };
        if (std::equal(a.programs.begin(), a.programs.end(), b.programs.begin(), b.programs.end(),
                       same_program)) {
            return true;
        }
        problem(simulated_, fmt::format("says other ops of graph {} than {}: one of them was "
                                        "changed",
                                        a.hash, measured_.name));
        return false;
    }

    void align_lanes(AlignedGraph& graph) {
        const std::vector<Lane>& lanes = graph.measured->timeline.lanes;
        const Runs measured(graph.measured->timeline);
        const Runs simulated(graph.simulated->timeline);
        for (std::uint32_t lane = 0; lane < lanes.size(); ++lane) {
            const auto other = lane_for(lanes[lane], graph.simulated->timeline.lanes);
            graph.simulated_lane.push_back(other.value_or(0));
            if (other) {
                align_ops(graph, measured.of(lane), simulated.of(*other), lanes[lane].rank);
            } else if (!measured.of(lane).empty()) {
                problem(simulated_, fmt::format("has no lane for rank {}, which runs program {}",
                                                lanes[lane].rank.value, lanes[lane].program));
            }
        }
    }

    using Run = std::tuple<std::uint32_t, std::uint32_t, std::int32_t>;  // item, op, iteration
    static Run run_of(const Interval& interval) {
        return {interval.op.item, interval.op.op, interval.iteration};
    }

    // The intervals of each lane, by run.
    class Runs {
    public:
        explicit Runs(const Timeline& timeline) : by_lane_(timeline.lanes.size()) {
            for (const Interval& interval : timeline.intervals) {
                by_lane_[interval.op.lane].push_back(&interval);
            }
            for (auto& intervals : by_lane_) {
                std::sort(intervals.begin(), intervals.end(),
                          [](const auto* a, const auto* b) { return run_of(*a) < run_of(*b); });
            }
        }
        [[nodiscard]] const std::vector<const Interval*>& of(std::uint32_t lane) const {
            return by_lane_[lane];
        }

    private:
        std::vector<std::vector<const Interval*>> by_lane_;
    };

    void align_ops(AlignedGraph& graph, const std::vector<const Interval*>& measured,
                   const std::vector<const Interval*>& simulated, RankId rank) {
        auto m = measured.begin();
        auto s = simulated.begin();
        while (m != measured.end() || s != simulated.end()) {
            const bool has_m =
                m != measured.end() && (s == simulated.end() || run_of(**m) <= run_of(**s));
            const bool has_s =
                s != simulated.end() && (m == measured.end() || run_of(**s) <= run_of(**m));
            if (has_m && has_s) {
                graph.ops.push_back({*m, *s});
            } else if (has_m) {
                lacks(simulated_, op_text(*graph.measured, **m, rank), measured_);
            } else {
                lacks(measured_, op_text(*graph.simulated, **s, rank), simulated_);
            }
            m += has_m ? 1 : 0;
            s += has_s ? 1 : 0;
        }
    }

    static std::string op_text(const RecordedGraph& graph, const Interval& interval, RankId rank) {
        const OpRef& op = interval.op;
        const auto program = static_cast<std::size_t>(graph.timeline.lanes[op.lane].program);
        return fmt::format("{} of rank {}, iteration {} (op {} of item {}, {})", graph.op(op).kind,
                           rank.value, interval.iteration, op.op, op.item,
                           name(graph.programs[program][op.item].kind));
    }

    const NamedTimeline& measured_;
    const NamedTimeline& simulated_;
    std::vector<AlignedGraph> aligned_;
    Diagnostics diagnostics_;
    std::size_t problems_ = 0;
};

}  // namespace

std::optional<std::uint32_t> lane_for(const Lane& lane, const std::vector<Lane>& lanes) {
    std::vector<std::uint32_t> of_program;
    for (std::uint32_t i = 0; i < lanes.size(); ++i) {
        if (lanes[i].program == lane.program) {
            if (lanes[i].rank == lane.rank) {
                return i;
            }
            of_program.push_back(i);
        }
    }
    if (of_program.empty()) {
        return std::nullopt;
    }
    std::sort(of_program.begin(), of_program.end(),
              [&](auto a, auto b) { return lanes[a].rank < lanes[b].rank; });
    const std::uint32_t first = lanes[of_program.front()].rank.value;
    const std::uint32_t last = lanes[of_program.back()].rank.value;
    const std::uint32_t rank = lane.rank.value;
    if (last - first + 1 == of_program.size() && rank > last) {
        return of_program[(rank - first) % of_program.size()];
    }
    std::uint32_t best = of_program.front();
    for (const std::uint32_t i : of_program) {
        best = lanes[i].rank.value <= rank ? i : best;
    }
    return best;
}

std::vector<AlignedGraph> align(const NamedTimeline& measured, const NamedTimeline& simulated) {
    return Aligner(measured, simulated).align();
}

}  // namespace r1
