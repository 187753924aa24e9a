// Timelines of whole schedules with constant chunk times: the breakdown is the schedule's own.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/base/json.hpp"
#include "model/config/model_config.hpp"
#include "model/graph/algorithms.hpp"
#include "model/timeline/breakdown.hpp"
#include "model/timeline/critical_path.hpp"
#include "model/timeline/overlap.hpp"
#include "model/workload/train.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

TrainingSetup even_setup(ScheduleKind schedule, int ranks, int micro_batches) {
    TrainingSetup setup;
    Diagnostics diagnostics;
    const Document document = Document::from_json(model_preset("tiny-r1"), "tiny-r1");
    setup.sizes.config = read_model_config(document, "", diagnostics);
    setup.sizes.sequence_length = 64;
    setup.sizes.local_experts = setup.sizes.config.n_routed_experts / 2;
    setup.plan.schedule = schedule;
    setup.plan.pipeline_parallel = ranks;
    setup.plan.data_parallel = 4;
    setup.plan.expert_parallel = 2;
    setup.plan.virtual_stages = 1;
    setup.micro_batches = micro_batches;
    const int stages = stage_count(setup.plan.schedule_options(micro_batches));
    const std::int64_t layers = setup.sizes.config.num_hidden_layers;
    for (int stage = 0; stage < stages; ++stage) {
        setup.stage_layers.push_back(layers * (stage + 1) / stages - layers * stage / stages);
    }
    return setup;
}

// Every op as early as what it waits for allows: one pass over the programs after the other, each
// as far as it gets. A receive ends with its send.
class EarlyTimes {
public:
    explicit EarlyTimes(const ExecutionGraph& graph) : graph_(graph), dependencies_(graph) {}

    Timeline run() {
        Timeline timeline;
        std::vector<ProgramOp> waiting = lanes_and_ops(timeline);
        while (!waiting.empty()) {
            std::vector<ProgramOp> later;
            for (const ProgramOp op : waiting) {
                const TimePs start = ready(op);
                if (start == kNotReady) {
                    later.push_back(op);
                    continue;
                }
                end_[op] = start + duration(op);
                timeline.intervals.push_back(
                    {{op.program, op.item, op.op}, 0, start, start + duration(op)});
            }
            REQUIRE(later.size() < waiting.size());
            waiting = std::move(later);
        }
        timeline.sort();
        return timeline;
    }

    // Different for neighbours, so that paths differ.
    [[nodiscard]] TimePs duration(ProgramOp op) const {
        const Item& item = graph_.programs()[op.program].items[op.item];
        const bool comm = graph_.chunk(item.chunk).ops[op.op].comm() != nullptr;
        return item.kind == ItemKind::recv ? 0 : (comm ? 700 : 100) + 13 * (op.op % 7);
    }

private:
    static constexpr TimePs kNotReady = -1;

    std::vector<ProgramOp> lanes_and_ops(Timeline& timeline) const {
        std::vector<ProgramOp> all;
        for (std::uint32_t p = 0; p < graph_.programs().size(); ++p) {
            const auto program = static_cast<std::int32_t>(p);
            timeline.lanes.push_back({graph_.instances().rank(program, 0), program, 4});
            const std::vector<Item>& items = graph_.programs()[p].items;
            for (std::uint32_t i = 0; i < items.size(); ++i) {
                const std::size_t ops = graph_.chunk(items[i].chunk).ops.size();
                for (std::uint32_t op = 0; op < ops; ++op) {
                    all.push_back({p, i, op});
                }
            }
        }
        return all;
    }

    [[nodiscard]] TimePs ready(ProgramOp op) const {
        std::vector<ProgramOp> before;
        dependencies_.append_local(op, before);
        if (const auto send = dependencies_.send_of(op)) {
            before.push_back(*send);
        }
        if (const auto collective = dependencies_.collective_of(op)) {
            for (const ProgramOp member : dependencies_.collectives()[*collective]) {
                dependencies_.append_local(member, before);
            }
        }
        TimePs latest = 0;
        for (const ProgramOp earlier : before) {
            const auto end = end_.find(earlier);
            if (end == end_.end()) {
                return kNotReady;
            }
            latest = std::max(latest, end->second);
        }
        return latest;
    }

    const ExecutionGraph& graph_;
    Dependencies dependencies_;
    std::map<ProgramOp, TimePs> end_;
};

}  // namespace

TEST_CASE("timeline: the bubble of a schedule is the breakdown's", "[model][timeline]") {
    const ChunkSeconds seconds{1, 1.5, 0.5, 2.4};
    for (const ScheduleKind kind :
         {ScheduleKind::one_f_one_b, ScheduleKind::zb1p, ScheduleKind::dualpipe}) {
        const TrainingSetup setup = even_setup(kind, 4, 10);
        const ExecutionGraph graph = build_training_graph(setup);
        const Schedule schedule = make_schedule(setup.plan.schedule_options(10));
        const ScheduleTimes times = time_schedule(schedule, seconds);
        const Timeline timeline = test::evenly_timed(graph, times);
        const PipelineTimes pipeline = pipeline_times(graph, timeline);
        INFO(name(kind));
        CHECK(pipeline.step_s == Approx(times.makespan).epsilon(1e-12));
        CHECK(pipeline.mean.bubble_s == Approx(times.bubble_mean).margin(1e-9));
        CHECK(pipeline.mean.optimizer_s == 0);
        CHECK(pipeline.mean.total_s() == Approx(pipeline.step_s).epsilon(1e-12));
        for (std::size_t rank = 0; rank < 4; ++rank) {
            std::map<ChunkKind, int> count;
            for (const ScheduledChunk& chunk : schedule.ranks[rank]) {
                ++count[chunk.kind];
            }
            const PipelineBreakdown& lane = pipeline.per_lane[rank];
            CHECK(lane.bubble_s == Approx(times.bubble[rank]).margin(1e-9));
            CHECK(lane.forward_s == Approx(count[ChunkKind::forward] * 1.0).margin(1e-9));
            CHECK(lane.one_f_one_b_s == Approx(count[ChunkKind::overlapped] * 2.4).margin(1e-9));
            CHECK(lane.backward_input_s + lane.backward_weight_s ==
                  Approx(count[ChunkKind::backward_input] * 1.5 +
                         count[ChunkKind::backward_weight] * 0.5 + count[ChunkKind::backward] * 2.0)
                      .margin(1e-9));
            CHECK(lane.total_s() == Approx(pipeline.step_s).epsilon(1e-12));
        }
        const CriticalPath path = critical_path(graph, timeline);
        CHECK(test::sum(path.by_kind) == Approx(pipeline.step_s).epsilon(1e-12));
        CHECK(test::sum(path.by_resource) == Approx(pipeline.step_s).epsilon(1e-12));
        CHECK(path.steps.size() <= 200);
        const Overlap overlap = comm_overlap(graph, timeline);
        CHECK(overlap.comm_exposed_s == Approx(overlap.comm_total_s));  // ops one by one
        const TimePs length = critical_path_length(graph, [&](ProgramOp op) {
            const Interval* interval = timeline.find({op.program, op.item, op.op});
            return interval->end - interval->start;
        });
        CHECK(length > 0);
        CHECK(length <= timeline.makespan());
    }
}

TEST_CASE("timeline: ops that start as early as they can leave no waits", "[model][timeline]") {
    for (const ScheduleKind kind : {ScheduleKind::zb1p, ScheduleKind::dualpipe}) {
        const ExecutionGraph graph = build_training_graph(even_setup(kind, 4, 10));
        EarlyTimes times(graph);
        const Timeline timeline = times.run();
        REQUIRE(static_cast<std::int64_t>(timeline.intervals.size()) == graph.ops() / 4);
        const CriticalPath path = critical_path(graph, timeline);
        CHECK(path.by_kind.count("wait") == 0);
        CHECK(test::sum(path.by_kind) ==
              Approx(from_ps(timeline.makespan()).value()).epsilon(1e-12));
        CHECK(critical_path_length(graph, [&](ProgramOp op) { return times.duration(op); }) ==
              timeline.makespan());
        const PipelineTimes pipeline = pipeline_times(graph, timeline);
        CHECK(pipeline.mean.optimizer_s > 0);
        CHECK(pipeline.mean.total_s() == Approx(pipeline.step_s).epsilon(1e-12));
    }
}
