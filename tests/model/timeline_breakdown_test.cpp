#include "model/timeline/breakdown.hpp"

#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"

using namespace r1;
using test::HandGraph;

namespace {

void check(const PipelineBreakdown& is, const PipelineBreakdown& should_be, double step_s) {
    CHECK(is.forward_s == Approx(should_be.forward_s).margin(1e-12));
    CHECK(is.backward_input_s == Approx(should_be.backward_input_s).margin(1e-12));
    CHECK(is.backward_weight_s == Approx(should_be.backward_weight_s).margin(1e-12));
    CHECK(is.one_f_one_b_s == Approx(should_be.one_f_one_b_s).margin(1e-12));
    CHECK(is.bubble_s == Approx(should_be.bubble_s).margin(1e-12));
    CHECK(is.optimizer_s == Approx(should_be.optimizer_s).margin(1e-12));
    CHECK(is.total_s() == Approx(step_s).epsilon(1e-12));
}

}  // namespace

TEST_CASE("breakdown: a step solved by hand", "[model][timeline]") {
    const PipelineTimes times = pipeline_times(HandGraph::build(), HandGraph::timeline());
    CHECK(times.step_s == 25);
    REQUIRE(times.per_lane.size() == 2);
    // The last chunk ends at 20 (BW of stage 0), so the optimizer takes 5 on both.
    // Lane 0: F [0, 7]; BW [16, 20], 3 s of it input; bubble 20 - 7 - 4 = 9.
    check(times.per_lane[0], {7, 3, 1, 0, 9, 5}, 25);
    // Lane 1: F [9, 12]; BW [12, 17], 2 s of it input; bubble 20 - 3 - 5 = 12.
    check(times.per_lane[1], {3, 2, 3, 0, 12, 5}, 25);
    check(times.mean, {5, 2.5, 2, 0, 10.5, 5}, 25);
}

TEST_CASE("breakdown: shifting one interval moves what the definition says", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    Timeline timeline = HandGraph::timeline();
    SECTION("a forward that ends inside the next chunk takes its time from it") {
        // F of lane 1 [9, 13]; BW owns [13, 17] = 4, divided 2 : 3 as its ops are.
        test::set_seconds(timeline, {1, 1, 0}, 9, 13);
        const PipelineTimes times = pipeline_times(graph, timeline);
        check(times.per_lane[0], {7, 3, 1, 0, 9, 5}, 25);
        check(times.per_lane[1], {4, 4 * 2 / 5.0, 4 * 3 / 5.0, 0, 12, 5}, 25);
    }
    SECTION("a last chunk that ends later shortens the optimizer on all lanes") {
        // BW of lane 0 [16, 21], 3 : 2; all bubbles end at 21.
        test::set_seconds(timeline, {0, 3, 1}, 19, 21);
        const PipelineTimes times = pipeline_times(graph, timeline);
        check(times.per_lane[0], {7, 3, 2, 0, 9, 4}, 25);
        check(times.per_lane[1], {3, 2, 3, 0, 13, 4}, 25);
    }
    SECTION("communication counts for its chunk") {
        // The dispatch of F ends last, at 8; the send is no part of the chunk.
        test::set_seconds(timeline, {0, 0, 1}, 2, 8);
        check(pipeline_times(graph, timeline).per_lane[0], {8, 3, 1, 0, 8, 5}, 25);
    }
    SECTION("a later end of the step is the optimizer's") {
        test::set_seconds(timeline, {1, 4, 2}, 23, 27.5);
        check(pipeline_times(graph, timeline).per_lane[0], {7, 3, 1, 0, 9, 7.5}, 27.5);
    }
    SECTION("a chunk that an earlier one outlasts owns nothing") {
        // F of lane 1 runs until 18, after all of BW.
        test::set_seconds(timeline, {1, 1, 0}, 9, 18);
        check(pipeline_times(graph, timeline).per_lane[1], {9, 0, 0, 0, 11, 5}, 25);
    }
}

TEST_CASE("breakdown: the mean is over ranks", "[model][timeline]") {
    Timeline timeline = HandGraph::timeline();
    timeline.lanes[0].multiplicity = 3;
    const PipelineTimes times = pipeline_times(HandGraph::build(), timeline);
    // (3 x 7 + 3) / 4, (3 x 3 + 2) / 4, (3 x 1 + 3) / 4, (3 x 9 + 12) / 4
    check(times.mean, {6, 2.75, 1.5, 0, 9.75, 5}, 25);
}

TEST_CASE("breakdown: intervals of later iterations and an empty timeline", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    Timeline timeline = HandGraph::timeline();
    timeline.intervals.push_back({{0, 0, 0}, 1, 30 * test::kSecond, 40 * test::kSecond});
    CHECK(pipeline_times(graph, timeline).step_s == 25);
    CHECK(pipeline_times(graph, Timeline{}).step_s == 0);
}
