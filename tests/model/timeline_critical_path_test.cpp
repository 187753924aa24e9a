#include "model/timeline/critical_path.hpp"

#include "model/graph/algorithms.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"

using namespace r1;
using test::HandGraph;

namespace {

// Of the ops of a timeline with one lane a program.
TimePs length_of(const ExecutionGraph& graph, const Timeline& timeline) {
    return critical_path_length(graph, [&](ProgramOp op) {
        const Interval* interval = timeline.find({op.program, op.item, op.op});
        return interval->end - interval->start;
    });
}

}  // namespace

TEST_CASE("critical path: a step solved by hand", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    const Timeline timeline = HandGraph::timeline();
    const CriticalPath path = critical_path(graph, timeline);
    // norm 0-2, dispatch -6, sum -7, send -9 (its receive ends with it), norm on rank 1 -12, input
    // gradient -14, send -16, input gradient on rank 0 -19, weight gradient -20, gradient norm -21,
    // all-reduce -23 (rank 1 had been ready since 18), norm on rank 1 -25.
    const std::map<std::string, double> by_kind = {
        {"rms_norm", 5},   {"dispatch", 4},        {"residual_add", 6}, {"send", 4},
        {"all_reduce", 2}, {"gemm_bf16_wgrad", 1}, {"gradient_norm", 3}};
    CHECK(path.by_kind == by_kind);
    const std::map<std::string, double> by_resource = {{"compute", 15},
                                                       {"expert_all_to_all", 4},
                                                       {"pipeline_messages", 4},
                                                       {"data_parallel_collectives", 2}};
    CHECK(path.by_resource == by_resource);
    CHECK(test::sum(path.by_kind) == 25);
    CHECK(path.by_rank == std::vector<double>{14, 11});
    TimePs now = 0;
    for (const PathPiece& piece : path.pieces) {
        CHECK(piece.start == now);
        now = piece.end;
    }
    CHECK(now == 25 * test::kSecond);
    CHECK(path.ops_total == 14);  // both receives are on the path, for no time

    REQUIRE(path.steps.size() == 12);
    CHECK(path.steps[0].item == "F stage 0 micro-batch 0");
    CHECK(path.steps[3].kind == "send");
    CHECK(path.steps[3].rank == RankId(std::size_t{0}));
    CHECK(path.steps[6].rank == RankId(std::size_t{1}));
    CHECK(path.steps[6].item == "send stage 1 micro-batch 0");
    CHECK(path.steps[10].item == "optimizer stage 1");
    for (std::size_t i = 0; i < path.steps.size(); ++i) {
        CHECK(path.steps[i].start_s == (i == 0 ? 0 : path.steps[i - 1].end_s));
    }
    CHECK(path.steps.back().end_s == 25);
    CHECK(length_of(graph, timeline) == 25 * test::kSecond);  // nothing on the path waits
}

TEST_CASE("critical path: time that nothing explains is a wait", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    Timeline timeline = HandGraph::timeline();
    test::set_seconds(timeline, {0, 0, 1}, 3, 6);  // the dispatch starts 1 s late
    CriticalPath path = critical_path(graph, timeline);
    CHECK(path.by_kind.at("wait") == 1);
    CHECK(path.by_kind.at("dispatch") == 3);
    CHECK(path.by_resource.at("wait") == 1);
    CHECK(test::sum(path.by_kind) == 25);
    CHECK(length_of(graph, timeline) == 24 * test::kSecond);

    // Now the second norm ends after the dispatch: the path goes through it.
    test::set_seconds(timeline, {0, 0, 2}, 2, 6.5);
    path = critical_path(graph, timeline);
    CHECK(path.by_kind.count("dispatch") == 0);
    CHECK(path.by_kind.at("rms_norm") == 2 + 4.5 + 3);  // to 6.5, though the sum started at 6
    CHECK(test::sum(path.by_kind) == 25);
}

TEST_CASE("critical path: steps are condensed to the number asked for", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    const Timeline timeline = HandGraph::timeline();
    // By item: F, send, F, BW, send, BW, optimizer on rank 0 [20, 21], and on rank 1 [21, 25].
    const CriticalPath items = critical_path(graph, timeline, 8);
    REQUIRE(items.steps.size() == 8);
    CHECK(items.steps_left_out == 0);
    CHECK(items.steps[0].kind == "dispatch");  // 4 of 7 s
    CHECK(items.steps[0].end_s == 7);
    const CriticalPath longest = critical_path(graph, timeline, 3);
    REQUIRE(longest.steps.size() == 3);
    CHECK(longest.steps_left_out == 5);
    CHECK(longest.steps[0].start_s == 0);
    CHECK(longest.steps[1].start_s == 16);  // BW of stage 0
    CHECK(longest.steps[2].start_s == 21);
    CHECK(test::sum(longest.by_kind) == 25);
}

TEST_CASE("critical path: one lane a rank", "[model][timeline]") {
    // Two replicas in one expert-parallel group. The first norm of replica 1 takes 1 s more, for
    // which both dispatches wait.
    const ExecutionGraph graph = HandGraph::build(2, 2);
    Timeline timeline;
    for (const std::int32_t program : {0, 1}) {
        for (const std::int32_t replica : {0, 1}) {
            HandGraph::append_lane(timeline, graph.instances().rank(program, replica), program);
        }
    }
    test::set_seconds(timeline, {1, 0, 0}, 0, 3);
    test::set_seconds(timeline, {0, 0, 1}, 3, 6);
    test::set_seconds(timeline, {1, 0, 1}, 3, 6);
    test::set_seconds(timeline, {2, 4, 2}, 23, 24);  // rank 3 ends last
    const CriticalPath path = critical_path(graph, timeline);
    CHECK(path.steps.front().rank == RankId(std::size_t{1}));
    CHECK(path.steps.front().end_s == 3);
    CHECK(path.steps.back().rank == RankId(std::size_t{3}));
    CHECK(path.by_kind.count("wait") == 0);
    CHECK(test::sum(path.by_kind) == 25);

    // Replica 0 of stage 0 is late with its gradient norm: only the world's all-reduce joins it
    // with rank 3.
    test::set_seconds(timeline, {0, 4, 0}, 20, 20.5);
    test::set_seconds(timeline, {1, 4, 0}, 20, 20.5);
    CHECK(critical_path(graph, timeline).by_kind.at("wait") == 0.5);
    test::set_seconds(timeline, {0, 4, 0}, 20, 21);
    CHECK(critical_path(graph, timeline).by_kind.count("wait") == 0);
}

TEST_CASE("critical path: an empty timeline has none", "[model][timeline]") {
    const CriticalPath path = critical_path(HandGraph::build(), Timeline{});
    CHECK(path.by_kind.empty());
    CHECK(path.steps.empty());
}
