#include "model/timeline/critical_path.hpp"

#include <algorithm>
#include <string_view>

#include "model/base/check.hpp"
#include "model/graph/dependencies.hpp"
#include "model/timeline/timeline_index.hpp"

namespace r1 {

namespace {

std::string_view resource_name(const Op& op) {
    const CommOp* comm = op.comm();
    if (comm == nullptr) {
        return "compute";
    }
    switch (comm->group) {
        case GroupKind::expert_parallel: return "expert_all_to_all";
        case GroupKind::pipeline: return "pipeline_messages";
        case GroupKind::tensor_parallel: return "tensor_parallel_collectives";
        default: return "data_parallel_collectives";
    }
}

// Which lanes stand for which ranks.
class LaneTable {
public:
    explicit LaneTable(const TimelineIndex& index)
        : lanes_(index.lanes()),
          instances_(index.graph().instances()),
          of_program_(index.graph().programs().size()) {
        for (std::uint32_t lane = 0; lane < lanes_.size(); ++lane) {
            of_program_[static_cast<std::size_t>(lanes_[lane].program)].push_back(lane);
        }
    }

    // Appends the lanes of `program` that `lane` communicates with in a group of `kind`: those
    // whose rank is a member, or else the first, which stands for the members.
    void append_members(std::uint32_t lane, std::uint32_t program, GroupKind kind,
                        std::vector<std::uint32_t>& out) const {
        const std::size_t before = out.size();
        for (const std::uint32_t other : of_program_[program]) {
            if (are_members(instances_.replica_of(lanes_[lane].rank),
                            instances_.replica_of(lanes_[other].rank), kind)) {
                out.push_back(other);
            }
        }
        if (out.size() == before && !of_program_[program].empty()) {
            out.push_back(of_program_[program].front());
        }
    }

private:
    [[nodiscard]] bool are_members(std::int32_t a, std::int32_t b, GroupKind kind) const {
        const std::int32_t ep = instances_.expert_parallel;
        const std::int32_t tp = instances_.tensor_parallel;
        switch (kind) {
            case GroupKind::pipeline:
            case GroupKind::embedding: return a == b;
            case GroupKind::expert_parallel: return a / ep == b / ep;
            case GroupKind::expert_data_parallel: return a % ep == b % ep;
            case GroupKind::tensor_parallel: return a / tp == b / tp;
            case GroupKind::tensor_data_parallel: return a % tp == b % tp;
            case GroupKind::data_parallel:
            case GroupKind::world: return true;
        }
        return false;
    }

    const std::vector<Lane>& lanes_;
    const Instances& instances_;
    std::vector<std::vector<std::uint32_t>> of_program_;
};

// What ops waited for, on their own lane and on others.
class Predecessors {
public:
    explicit Predecessors(const TimelineIndex& index)
        : index_(index), dependencies_(index.graph()), lanes_(index) {}

    // Of all that `op` waited for, what ended last; nullptr if nothing ran before it.
    const Interval* last_before(OpRef op) {
        latest_ = nullptr;
        consider_local(op);
        const ProgramOp here = program_op(op);
        const CommOp* comm = index_.chunk(op.lane, op.item).ops[op.op].comm();
        if (comm == nullptr) {
            return latest_;
        }
        if (comm->group == GroupKind::pipeline) {
            if (const auto send = dependencies_.send_of(here)) {
                members_.clear();
                lanes_.append_members(op.lane, send->program, comm->group, members_);
                for (const std::uint32_t sender : members_) {
                    consider({sender, send->item, send->op});
                }
            }
        } else if (is_of_one_program(comm->group)) {
            consider_members(op.lane, here, comm->group);
        } else if (const auto collective = dependencies_.collective_of(here)) {
            for (const ProgramOp member : dependencies_.collectives()[*collective]) {
                consider_members(op.lane, member, comm->group);
            }
        }
        return latest_;
    }

private:
    [[nodiscard]] ProgramOp program_op(OpRef op) const {
        return {static_cast<std::uint32_t>(index_.lanes()[op.lane].program), op.item, op.op};
    }

    void consider(OpRef op) {
        const Interval* interval = index_.find(op);
        if (interval != nullptr && (latest_ == nullptr || interval->end > latest_->end)) {
            latest_ = interval;
        }
    }
    void consider_local(OpRef op) {
        local_.clear();
        dependencies_.append_local(program_op(op), local_);
        for (const ProgramOp earlier : local_) {
            consider({op.lane, earlier.item, earlier.op});
        }
    }
    // What the members of a collective other than the one on `lane` waited for.
    void consider_members(std::uint32_t lane, ProgramOp member, GroupKind kind) {
        members_.clear();
        lanes_.append_members(lane, member.program, kind, members_);
        for (const std::uint32_t other : members_) {
            if (other != lane) {
                consider_local({other, member.item, member.op});
            }
        }
    }

    const TimelineIndex& index_;
    Dependencies dependencies_;
    LaneTable lanes_;
    const Interval* latest_ = nullptr;
    std::vector<ProgramOp> local_;  // scratch
    std::vector<std::uint32_t> members_;
};

// Walks back from the last end to 0; pieces come last first, without gaps.
class PathWalk {
public:
    PathWalk(const TimelineIndex& index, std::size_t intervals)
        : index_(index), predecessors_(index), intervals_max_(intervals) {}

    void run() {
        TimePs now = index_.makespan();
        for (const Interval* interval = index_.last(); interval != nullptr;) {
            R1_CHECK(ops_ < intervals_max_);  // an op that waits for itself
            ++ops_;
            const OpRef ref = interval->op;
            const Op& op = index_.chunk(ref.lane, ref.item).ops[ref.op];
            const Interval* before = predecessors_.last_before(ref);
            // Measured ops may start before what they wait for has ended: the time is the other's.
            const TimePs ready = before == nullptr ? 0 : std::clamp<TimePs>(before->end, 0, now);
            const TimePs start = std::clamp(interval->start, ready, now);
            add(ref, kind_name(op), resource_name(op), start, now);
            add(ref, PathPiece::kWait, PathPiece::kWait, ready, start);
            now = ready;
            interval = before;
        }
    }

    std::vector<PathPiece> pieces;
    std::map<std::string_view, TimePs> by_kind;
    std::map<std::string_view, TimePs> by_resource;
    [[nodiscard]] std::int64_t ops() const { return static_cast<std::int64_t>(ops_); }

private:
    void add(OpRef op, std::string_view kind, std::string_view resource, TimePs start, TimePs end) {
        if (end > start) {
            by_kind[kind] += end - start;
            by_resource[resource] += end - start;
            pieces.push_back({op, kind, start, end});
        }
    }

    const TimelineIndex& index_;
    Predecessors predecessors_;
    std::size_t intervals_max_;
    std::size_t ops_ = 0;
};

std::vector<PathPiece> merge_kinds(const std::vector<PathPiece>& pieces) {
    std::vector<PathPiece> merged;
    for (const PathPiece& piece : pieces) {
        if (!merged.empty() && merged.back().op.lane == piece.op.lane &&
            merged.back().op.item == piece.op.item && merged.back().kind == piece.kind) {
            merged.back().end = piece.end;
        } else {
            merged.push_back(piece);
        }
    }
    return merged;
}

std::vector<PathPiece> merge_items(const std::vector<PathPiece>& pieces) {
    std::vector<PathPiece> merged;
    std::map<std::string_view, TimePs> time;
    for (std::size_t begin = 0; begin < pieces.size();) {
        PathPiece item = pieces[begin];
        time.clear();
        std::size_t end = begin;
        for (; end < pieces.size() && pieces[end].op.lane == item.op.lane &&
               pieces[end].op.item == item.op.item;
             ++end) {
            time[pieces[end].kind] += pieces[end].end - pieces[end].start;
        }
        item.end = pieces[end - 1].end;
        item.kind = std::max_element(time.begin(), time.end(), [](const auto& a, const auto& b) {
                        return a.second < b.second;
                    })->first;
        merged.push_back(item);
        begin = end;
    }
    return merged;
}

std::vector<double> by_rank(const std::vector<PathPiece>& pieces, const TimelineIndex& index) {
    std::vector<TimePs> times(index.graph().programs().size());
    for (const PathPiece& piece : pieces) {
        times[static_cast<std::size_t>(index.lanes()[piece.op.lane].program)] +=
            piece.end - piece.start;
    }
    std::vector<double> seconds;
    for (const TimePs time : times) {
        seconds.push_back(from_ps(time).value());
    }
    return seconds;
}

std::vector<PathPiece> longest(std::vector<PathPiece> pieces, std::size_t count) {
    std::stable_sort(pieces.begin(), pieces.end(), [](const PathPiece& a, const PathPiece& b) {
        return a.end - a.start > b.end - b.start;
    });
    pieces.resize(std::min(pieces.size(), count));
    std::sort(pieces.begin(), pieces.end(),
              [](const PathPiece& a, const PathPiece& b) { return a.start < b.start; });
    return pieces;
}

}  // namespace

CriticalPath critical_path(const ExecutionGraph& graph, const Timeline& timeline,
                           std::size_t steps_max) {
    const TimelineIndex index(graph, timeline);
    PathWalk walk(index, timeline.intervals.size());
    walk.run();

    CriticalPath path;
    path.ops_total = walk.ops();
    for (const auto& [kind, time] : walk.by_kind) {
        path.by_kind[std::string(kind)] = from_ps(time).value();
    }
    for (const auto& [resource, time] : walk.by_resource) {
        path.by_resource[std::string(resource)] = from_ps(time).value();
    }
    path.by_rank = by_rank(walk.pieces, index);
    path.pieces = std::move(walk.pieces);
    std::reverse(path.pieces.begin(), path.pieces.end());
    std::vector<PathPiece> steps = merge_kinds(path.pieces);
    if (steps.size() > steps_max) {
        steps = merge_items(steps);
    }
    if (steps.size() > steps_max) {
        path.steps_left_out = static_cast<std::int64_t>(steps.size() - steps_max);
        steps = longest(std::move(steps), steps_max);
    }
    for (const PathPiece& step : steps) {
        const Item& item = index.items(step.op.lane)[step.op.item];
        path.steps.push_back({index.lanes()[step.op.lane].rank,
                              item_name(item, graph.chunk(item.chunk)), std::string(step.kind),
                              from_ps(step.start).value(), from_ps(step.end).value()});
    }
    return path;
}

}  // namespace r1
