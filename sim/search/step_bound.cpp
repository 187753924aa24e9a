#include "sim/search/step_bound.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "model/base/check.hpp"
#include "sim/search/least_times.hpp"
#include "sim/what_if.hpp"

namespace r1 {

namespace {

// Engines end together what ends within a picosecond: some 10^5 events of a step of seconds.
constexpr double kEngineRounding = 1e-7;

// Chunks of a rank that are alike: their kind, and the stages of the forward and backward part.
using ChunkClass = std::tuple<ChunkKind, int, int>;
ChunkClass class_of(const ScheduleOptions& options, int rank, const ScheduledChunk& chunk) {
    const bool forward = chunk.kind == ChunkKind::forward || chunk.kind == ChunkKind::overlapped;
    return {
        chunk.kind, forward ? stage_of(options, rank, chunk.forward.direction) : -1,
        chunk.kind == ChunkKind::forward ? -1 : stage_of(options, rank, chunk.backward.direction)};
}

struct ChunkTimes {
    std::array<double, kStreamCount> path{};  // from the first op of a stream to its last
    double kernels = 0;                       // on the SMs
};

// The chunks of one pipeline rank in the lowered step.
class RankChunks {
public:
    RankChunks(const ReplayDag& dag, const LeastTimes& times, const RankProgram& program,
               std::size_t rank)
        : dag_(dag), times_(times), nodes_(dag.programs[rank]), first_(times.first[rank]) {
        first_on_.fill(kNone);
        last_on_.fill(kNone);
        for (std::uint32_t begin = 0; begin < nodes_.size();) {
            std::uint32_t end = begin;
            while (end < nodes_.size() && nodes_[end].item == nodes_[begin].item) {
                ++end;
            }
            if (is_chunk(program.items[nodes_[begin].item].kind)) {
                chunks_.push_back(measure(begin, end));
            }
            begin = end;
        }
    }

    [[nodiscard]] const std::vector<ChunkTimes>& chunks() const { return chunks_; }

    // The least step if the chunks took those times together.
    [[nodiscard]] double least_step(const ChunkTimes& sum) const {
        constexpr double kNoKernel = std::numeric_limits<double>::infinity();
        double bound = 0;
        double head = kNoKernel;  // until the first kernel
        double tail = kNoKernel;  // from whichever kernel is the last
        for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
            if (first_on_[stream] == kNone) {
                continue;
            }
            const double before = times_.start[first_ + first_on_[stream]];
            const double after = times_.tail[first_ + last_on_[stream]];
            bound = std::max(bound, before + sum.path[stream] + after);
            if (computes(static_cast<Stream>(stream))) {
                head = std::min(head, before);
                tail = std::min(tail, after);
            }
        }
        return head < kNoKernel ? std::max(bound, head + sum.kernels + tail) : bound;
    }

private:
    static constexpr std::uint32_t kNone = UINT32_MAX;

    [[nodiscard]] std::size_t stream_of(std::uint32_t node) const {
        return static_cast<std::size_t>(dag_.segment(nodes_[node]).stream);
    }

    // Of the nodes from `begin` to `end`, which stand in the order of their dependencies.
    ChunkTimes measure(std::uint32_t begin, std::uint32_t end) {
        ChunkTimes times;
        for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
            times.path[stream] = longest_path(begin, end, stream);
        }
        for (std::uint32_t node = begin; node < end; ++node) {
            const std::size_t stream = stream_of(node);
            first_on_[stream] = first_on_[stream] == kNone ? node : first_on_[stream];
            last_on_[stream] = node;
            if (computes(static_cast<Stream>(stream))) {
                times.kernels += times_.duration[first_ + node];
            }
        }
        return times;
    }

    [[nodiscard]] double longest_path(std::uint32_t begin, std::uint32_t end,
                                      std::size_t stream) const {
        constexpr double kUnreached = -1;
        std::vector<double> ready(end - begin, kUnreached);
        double longest = 0;
        for (std::uint32_t node = begin; node < end; ++node) {
            double& here = ready[node - begin];
            if (here == kUnreached && stream_of(node) == stream && longest == 0) {
                here = 0;  // the first of the stream; later ones are reached from it
            }
            if (here == kUnreached) {
                continue;
            }
            const double done = here + times_.duration[first_ + node];
            longest = stream_of(node) == stream ? done : longest;
            for (const std::uint32_t next : nodes_[node].successors) {
                if (next < end) {
                    ready[next - begin] = std::max(ready[next - begin], done);
                }
            }
        }
        return longest;
    }

    const ReplayDag& dag_;
    const LeastTimes& times_;
    const ReplayProgram& nodes_;
    std::size_t first_;  // of its nodes in times_
    // By stream, of all chunks; kNone: none.
    std::array<std::uint32_t, kStreamCount> first_on_{};
    std::array<std::uint32_t, kStreamCount> last_on_{};
    std::vector<ChunkTimes> chunks_;
};

ChunkTimes& operator+=(ChunkTimes& a, const ChunkTimes& b) {
    for (std::size_t stream = 0; stream < kStreamCount; ++stream) {
        a.path[stream] += b.path[stream];
    }
    a.kernels += b.kernels;
    return a;
}

// Stragglers draw anew for each item: no kernel of the step is faster than the fastest draw.
double least_straggler_factor(const ReplayDag& dag, std::size_t items_max) {
    const bool draws = dag.stragglers.per_rank > 0 || dag.stragglers.per_chunk > 0;
    double least = draws ? std::numeric_limits<double>::infinity() : 1;
    for (const Lane& lane : dag.lanes) {
        for (std::size_t item = 0; draws && item < items_max; ++item) {
            least = std::min(
                least, straggler_factor(dag.stragglers, dag.seed, lane.rank, lane.multiplicity,
                                        dag.lanes_per_program, static_cast<std::uint32_t>(item)));
        }
    }
    return std::max(0.0, least);
}

// A chunk, its messages, and the optimizer's items.
std::size_t items_at_most(const Schedule& schedule) {
    std::size_t chunks = 0;
    for (const std::vector<ScheduledChunk>& rank : schedule.ranks) {
        chunks = std::max(chunks, rank.size());
    }
    return 5 * chunks + 16;
}

}  // namespace

Setting with_few_micro_batches(Setting setting) {
    Scenario& scenario = setting.scenario;
    const auto classes = [&](int micro_batches) {
        std::set<std::pair<std::size_t, ChunkClass>> found;
        const ScheduleOptions options = scenario.plan.schedule_options(micro_batches);
        const Schedule schedule = make_schedule(options);
        for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
            for (const ScheduledChunk& chunk : schedule.ranks[rank]) {
                found.emplace(rank, class_of(options, static_cast<int>(rank), chunk));
            }
        }
        return found;
    };
    // Multiples of the ranks, as interleaved wants them, and even where their number is.
    const int ranks = scenario.plan.pipeline_parallel;
    const auto wanted = classes(scenario.micro_batches);
    int few = 2 * ranks;
    while (few < scenario.micro_batches && classes(few) != wanted) {
        few += ranks;
    }
    scenario.micro_batches = std::min(few, scenario.micro_batches);
    scenario.workload.global_batch_sequences = scenario.micro_batches *
                                               scenario.plan.data_parallel *
                                               scenario.workload.micro_batch_sequences;
    return setting;
}

StepBound bound_step(Setting setting, SharedWork& shared) {
    R1_CHECK(setting.scenario.replay.fold == Folding::stage);
    const ScheduleOptions options =
        setting.scenario.plan.schedule_options(setting.scenario.micro_batches);
    const Setting few = with_few_micro_batches(std::move(setting));
    const Simulation simulation = prepare(few, shared);
    const Schedule few_chunks =
        make_schedule(few.scenario.plan.schedule_options(few.scenario.micro_batches));
    const Schedule all_chunks = make_schedule(options);
    ReplayDag dag = lower(few, simulation);
    const double factor = least_straggler_factor(dag, items_at_most(all_chunks));
    dag.stragglers = {};
    const LeastTimes times = least_times(dag, factor);
    double bound = few.scenario.micro_batches == options.micro_batches ? times.makespan : 0;
    for (std::size_t rank = 0; rank < few_chunks.ranks.size(); ++rank) {
        const RankChunks chunks(dag, times, simulation.graph.programs()[rank], rank);
        R1_CHECK(chunks.chunks().size() == few_chunks.ranks[rank].size());
        std::map<ChunkClass, ChunkTimes> by_class;
        for (std::size_t i = 0; i < chunks.chunks().size(); ++i) {
            by_class.try_emplace(
                class_of(options, static_cast<int>(rank), few_chunks.ranks[rank][i]),
                chunks.chunks()[i]);
        }
        ChunkTimes sum;
        for (const ScheduledChunk& chunk : all_chunks.ranks[rank]) {
            sum += by_class[class_of(options, static_cast<int>(rank), chunk)];
        }
        bound = std::max(bound, chunks.least_step(sum));
    }
    return {Seconds(bound * (1 - kEngineRounding)), simulation.memory};
}

}  // namespace r1
