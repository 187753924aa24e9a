#include "tests/support/measured_timeline.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

#include "model/base/rng.hpp"
#include "model/graph/dependencies.hpp"

namespace r1::test {

namespace {

constexpr TimePs kMicrosecond = 1'000'000;
constexpr TimePs kClockBegin = 3'600'000'000'000'000;  // an hour

// An op of a rank; lane = rank.
class Execution {
public:
    Execution(const ExecutionGraph& graph, std::uint64_t seed)
        : graph_(graph), dependencies_(graph), random_(seed), streams_(ranks()), ends_(ranks()) {
        for (std::uint32_t rank = 0; rank < ranks(); ++rank) {
            const std::vector<Item>& items = graph.programs()[program_of(rank)].items;
            for (std::uint32_t item = 0; item < items.size(); ++item) {
                const std::vector<Op>& ops = graph.chunk(items[item].chunk).ops;
                ends_[rank].emplace_back(ops.size(), -1);
                for (std::uint32_t op = 0; op < ops.size(); ++op) {
                    auto& stream = streams_[rank][static_cast<std::size_t>(ops[op].stream)];
                    stream.ops.push_back({rank, item, op});
                }
            }
        }
    }

    Timeline run() {
        for (bool progress = true; progress;) {
            progress = false;
            for (auto& rank : streams_) {
                for (Stream& stream : rank) {
                    while (stream.next < stream.ops.size() && execute(stream.ops[stream.next])) {
                        ++stream.next;
                        progress = true;
                    }
                }
            }
        }
        Timeline timeline;
        for (std::uint32_t rank = 0; rank < ranks(); ++rank) {
            timeline.lanes.push_back(
                {RankId(std::size_t{rank}), static_cast<std::int32_t>(program_of(rank)), 1});
            for (const Stream& stream : streams_[rank]) {
                if (stream.next < stream.ops.size()) {
                    throw std::runtime_error("ranks wait for each other");
                }
            }
        }
        timeline.intervals = intervals_;
        timeline.sort();
        return timeline;
    }

private:
    struct Stream {
        std::vector<OpRef> ops;
        std::size_t next = 0;
    };

    [[nodiscard]] std::uint32_t ranks() const {
        return static_cast<std::uint32_t>(graph_.instances().ranks());
    }
    [[nodiscard]] std::uint32_t program_of(std::uint32_t rank) const {
        return static_cast<std::uint32_t>(graph_.instances().program_of(RankId(std::size_t{rank})));
    }
    [[nodiscard]] TimePs& end_of(OpRef ref) { return ends_[ref.lane][ref.item][ref.op]; }

    // When all that the rank itself does before the op is done.
    std::optional<TimePs> ready(OpRef ref) {
        std::vector<ProgramOp> before;
        dependencies_.append_local({program_of(ref.lane), ref.item, ref.op}, before);
        TimePs time = 0;
        for (const ProgramOp op : before) {
            const TimePs end = end_of({ref.lane, op.item, op.op});
            if (end < 0) {
                return std::nullopt;
            }
            time = std::max(time, end);
        }
        return time;
    }

    // The same collective on all its ranks.
    [[nodiscard]] std::vector<OpRef> members(OpRef ref, const CommOp& comm) const {
        const ProgramOp here{program_of(ref.lane), ref.item, ref.op};
        const Item& item = graph_.programs()[here.program].items[ref.item];
        std::vector<ProgramOp> same = {here};
        if (const auto collective = dependencies_.collective_of(here)) {
            same = dependencies_.collectives()[*collective];
        }
        std::vector<OpRef> refs;
        for (const RankId rank :
             graph_.group(comm.group, RankId(std::size_t{ref.lane}), item.contexts.front().stage)) {
            for (const ProgramOp op : same) {
                if (op.program == program_of(rank.value)) {
                    refs.push_back({rank.value, op.item, op.op});
                }
            }
        }
        return refs;
    }

    // False if the op has to wait for another rank, or for another stream of its own.
    bool execute(OpRef ref) {
        const auto own = ready(ref);
        if (!own) {
            return false;
        }
        const Item& item = graph_.programs()[program_of(ref.lane)].items[ref.item];
        const CommOp* comm = graph_.chunk(item.chunk).ops[ref.op].comm();
        TimePs all_here = *own;
        if (comm != nullptr && comm->group == GroupKind::pipeline) {
            const auto send = dependencies_.send_of({program_of(ref.lane), ref.item, ref.op});
            if (send) {
                const auto replica = graph_.instances().replica_of(RankId(std::size_t{ref.lane}));
                const RankId sender =
                    graph_.instances().rank(static_cast<std::int32_t>(send->program), replica);
                all_here = std::max(all_here, end_of({sender.value, send->item, send->op}));
                if (end_of({sender.value, send->item, send->op}) < 0) {
                    return false;
                }
            }
        } else if (comm != nullptr) {
            for (const OpRef member : members(ref, *comm)) {
                const auto there = ready(member);
                if (!there) {
                    return false;
                }
                all_here = std::max(all_here, *there);
            }
        }
        const auto duration = static_cast<TimePs>((1 + 99 * random_.uniform(draws_++)) *
                                                  static_cast<double>(kMicrosecond));
        end_of(ref) = all_here + duration;
        const auto skew = static_cast<TimePs>((6 * Rng(1).uniform(ref.lane) - 3) *
                                              static_cast<double>(kMicrosecond));
        const TimePs zero = kClockBegin + skew;
        intervals_.push_back({ref, 0, zero + *own, zero + end_of(ref)});
        return true;
    }

    const ExecutionGraph& graph_;
    Dependencies dependencies_;
    Rng random_;
    std::uint64_t draws_ = 0;
    std::vector<std::array<Stream, kStreamCount>> streams_;  // by rank
    std::vector<std::vector<std::vector<TimePs>>> ends_;     // by rank, item, op; -1: not yet
    std::vector<Interval> intervals_;
};

}  // namespace

Timeline measured_timeline(const ExecutionGraph& graph, std::uint64_t seed) {
    return Execution(graph, seed).run();
}

}  // namespace r1::test
