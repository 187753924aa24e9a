// Timelines as ranks record them: what is made of them, and that every function that reads
// timelines takes them.
#include "model/timeline/measured.hpp"

#include "model/timeline/breakdown.hpp"
#include "model/timeline/critical_path.hpp"
#include "model/timeline/overlap.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/measured_timeline.hpp"
#include "tests/support/training_setup.hpp"
#include "tests/support/two_stage_graph.hpp"

using namespace r1;
using test::HandGraph;

namespace {

void check_breakdown(const PipelineBreakdown& parts, double step_s) {
    CHECK(parts.total_s() == Approx(step_s).epsilon(1e-9));
    for (const double part : {parts.forward_s, parts.backward_input_s, parts.backward_weight_s,
                              parts.one_f_one_b_s, parts.bubble_s, parts.optimizer_s}) {
        CHECK(part >= 0);
    }
}

void check_path(const CriticalPath& path, double step_s) {
    for (const auto* shares : {&path.by_kind, &path.by_resource}) {
        double sum = 0;
        for (const auto& [name, time_s] : *shares) {
            CHECK(time_s > 0);
            sum += time_s;
        }
        CHECK(sum == Approx(step_s).epsilon(1e-9));
    }
    REQUIRE_FALSE(path.steps.empty());
    CHECK(path.steps_left_out == 0);
    CHECK(path.steps.front().start_s == 0);
    CHECK(path.steps.back().end_s == step_s);
    for (std::size_t i = 1; i < path.steps.size(); ++i) {
        CHECK(path.steps[i].start_s == path.steps[i - 1].end_s);
    }
}

void check_invariants(const ExecutionGraph& graph, const Timeline& timeline) {
    const double step_s = from_ps(timeline.makespan()).value();
    CHECK(step_s > 0);
    const PipelineTimes times = pipeline_times(graph, timeline);
    CHECK(times.step_s == step_s);
    CHECK(times.per_lane.size() == static_cast<std::size_t>(graph.instances().ranks()));
    for (const PipelineBreakdown& lane : times.per_lane) {
        check_breakdown(lane, step_s);
    }
    check_breakdown(times.mean, step_s);

    const Overlap overlap = comm_overlap(graph, timeline);
    CHECK(overlap.comm_exposed_s <= overlap.comm_total_s);
    CHECK(overlap.comm_total_s <= step_s);
    for (const auto& [kind, time] : overlap.by_kind) {
        INFO(kind);
        CHECK(time.exposed_s <= time.total_s);
        CHECK(time.total_s <= step_s);
    }
    check_path(critical_path(graph, timeline, 1'000'000), step_s);
}

void check_all(const ExecutionGraph& graph) {
    for (const std::uint64_t seed : {1, 2, 3}) {
        INFO("seed " << seed);
        const Timeline recorded = test::measured_timeline(graph, seed);
        Timeline timeline = one_iteration(recorded, 0);
        check_invariants(graph, timeline);
        const double waited = comm_overlap(graph, timeline).by_kind["recv"].total_s;
        trim_receives(graph, timeline);
        check_invariants(graph, timeline);
        if (graph.instances().pipeline_parallel > 1) {
            CHECK(comm_overlap(graph, timeline).by_kind["recv"].total_s < waited);
        }
    }
}

}  // namespace

TEST_CASE("measured timeline: an iteration on its own", "[model][timeline]") {
    Timeline recorded = HandGraph::timeline();
    const Timeline step = recorded;
    // The same again a minute later, 2 s slower at the end; both after an hour.
    for (const Interval& interval : step.intervals) {
        Interval later = interval;
        later.iteration = 1;
        later.start += 60 * test::kSecond;
        later.end += 60 * test::kSecond;
        recorded.intervals.push_back(later);
    }
    recorded.intervals.back().end += 2 * test::kSecond;
    for (Interval& interval : recorded.intervals) {
        interval.start += 3600 * test::kSecond;
        interval.end += 3600 * test::kSecond;
    }
    const Timeline first = one_iteration(recorded, 0);
    const Timeline second = one_iteration(recorded, 1);
    CHECK(first.makespan() == 25 * test::kSecond);
    CHECK(second.makespan() == 27 * test::kSecond);
    CHECK(second.lanes.size() == 2);
    REQUIRE(second.intervals.size() == step.intervals.size());
    for (std::size_t i = 0; i + 1 < step.intervals.size(); ++i) {
        CHECK(second.intervals[i].op == step.intervals[i].op);
        CHECK(second.intervals[i].iteration == 0);
        CHECK(second.intervals[i].start == step.intervals[i].start);
        CHECK(second.intervals[i].end == step.intervals[i].end);
    }
    CHECK(one_iteration(recorded, 2).intervals.empty());
}

TEST_CASE("measured timeline: a receive begins with its send", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build(2);
    Timeline timeline;
    for (const std::int32_t program : {0, 1}) {
        for (const std::int32_t replica : {0, 1}) {
            HandGraph::append_lane(timeline, graph.instances().rank(program, replica), program);
        }
    }
    // Rank 1 sends [7, 9] to rank 3; rank 0 a second later to rank 2.
    test::set_seconds(timeline, {0, 1, 0}, 8, 10);
    const auto receive = [&](std::uint32_t lane, double start, double end) {
        test::set_seconds(timeline, {lane, 0, 0}, start, end);
        Timeline trimmed = timeline;
        trim_receives(graph, trimmed);
        CHECK(trimmed.find({lane, 0, 0})->end == to_ps(Seconds(end)));
        return from_ps(trimmed.find({lane, 0, 0})->start).value();
    };
    CHECK(receive(2, 0, 10) == 8);
    CHECK(receive(3, 0, 10) == 7);
    CHECK(receive(2, 8.5, 10) == 8.5);  // the message was on its way when it was asked for
    CHECK(receive(2, 0, 7.5) == 7.5);   // clocks differ: never before its end
    // Nobody knows when rank 0 sent.
    timeline.intervals.erase(timeline.intervals.begin() + 4);
    REQUIRE(timeline.find({0, 1, 0}) == nullptr);
    CHECK(receive(2, 0, 10) == 0);
}

TEST_CASE("measured timeline: invariants of two stages", "[model][timeline]") {
    check_all(test::TwoStages{}.freeze());
    check_all(HandGraph::build(2, 2));
}

TEST_CASE("measured timeline: invariants of every schedule", "[model][timeline]") {
    for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::zb1p,
                                        ScheduleKind::dualpipe, ScheduleKind::dualpipev}) {
        INFO(name(schedule));
        check_all(build_training_graph(test::tiny_setup(schedule, 4, 8)));
    }
}
