#include "model/timeline/overlap.hpp"

#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/training_setup.hpp"

using namespace r1;
using test::HandGraph;

TEST_CASE("overlap: a step solved by hand", "[model][timeline]") {
    const Overlap overlap = comm_overlap(HandGraph::build(), HandGraph::timeline());
    // Lane 0: dispatch [2, 6], send [7, 9], recv [14, 16], all-reduce [21, 23]: 10 s, of which
    // compute [0, 5] and [6, 7] hide 3.
    // Lane 1: recv [7, 9], send [14, 16], all-reduce [21, 23]: 6 s, of which BW hides the send.
    CHECK(overlap.comm_total_s == Approx((10 + 6) / 2.0));
    CHECK(overlap.comm_exposed_s == Approx((7 + 4) / 2.0));
    REQUIRE(overlap.by_kind.size() == 4);
    CHECK(overlap.by_kind.at("dispatch").total_s == Approx(2));
    CHECK(overlap.by_kind.at("dispatch").exposed_s == Approx(0.5));
    CHECK(overlap.by_kind.at("send").total_s == Approx(2));
    CHECK(overlap.by_kind.at("send").exposed_s == Approx(1));
    CHECK(overlap.by_kind.at("recv").exposed_s == Approx(2));
    CHECK(overlap.by_kind.at("all_reduce").exposed_s == Approx(2));
}

TEST_CASE("overlap: communication at the same time counts once", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    Timeline timeline = HandGraph::timeline();
    // The receive of lane 0 now covers the end of the dispatch and the send: union [2, 9].
    test::set_seconds(timeline, {0, 2, 0}, 4, 9);
    timeline.lanes[0].multiplicity = 3;
    const Overlap overlap = comm_overlap(graph, timeline);
    // Lane 0: [2, 9] and [21, 23] = 9, of which compute hides [2, 5] and [6, 7].
    CHECK(overlap.comm_total_s == Approx((3 * 9 + 6) / 4.0));
    CHECK(overlap.comm_exposed_s == Approx((3 * 5 + 4) / 4.0));
    // Each kind counts its own time: recv [4, 9] with [5, 6] and [7, 9] exposed; lane 1 has 2 s.
    CHECK(overlap.by_kind.at("recv").total_s == Approx((3 * 5 + 2) / 4.0));
    CHECK(overlap.by_kind.at("recv").exposed_s == Approx((3 * 3 + 2) / 4.0));
}

TEST_CASE("overlap: what overlapped chunks hide is known apart", "[model][timeline]") {
    const ExecutionGraph graph =
        build_training_graph(test::tiny_setup(ScheduleKind::dualpipe, 2, 6));
    Timeline timeline;
    timeline.lanes.push_back({RankId(std::size_t{0}), 0, 1});
    // Each dispatch and combine takes 4 s. Beside it one kernel of the chunk runs for 1 s in
    // overlapped chunks, for 3 s in others.
    TimePs now = 0;
    double communications = 0;
    double overlapped = 0;
    const std::vector<Item>& items = graph.programs()[0].items;
    for (std::uint32_t item = 0; item < items.size(); ++item) {
        const std::vector<Op>& ops = graph.chunk(items[item].chunk).ops;
        std::uint32_t kernel = 0;
        const auto place = [&](std::uint32_t op, TimePs seconds) {
            timeline.intervals.push_back({{0, item, op}, 0, now, now + seconds * test::kSecond});
        };
        for (std::uint32_t op = 0; op < ops.size(); ++op) {
            const CommOp* comm = ops[op].comm();
            if (comm == nullptr || (comm->collective != Collective::dispatch &&
                                    comm->collective != Collective::combine)) {
                continue;
            }
            while (ops[kernel].stream != Stream::compute) {
                ++kernel;
            }
            place(op, 4);
            place(kernel++, items[item].kind == ItemKind::overlapped ? 1 : 3);
            now += 5 * test::kSecond;
            communications += 1;
            overlapped += items[item].kind == ItemKind::overlapped ? 1 : 0;
        }
    }
    REQUIRE(overlapped > 0);
    REQUIRE(overlapped < communications);
    const Overlap overlap = comm_overlap(graph, timeline);
    CHECK(overlap.one_f_one_b.total_s == Approx(4 * overlapped));
    CHECK(overlap.one_f_one_b.exposed_s == Approx(3 * overlapped));
    CHECK(overlap.comm_total_s == Approx(4 * communications));
    CHECK(overlap.comm_exposed_s == Approx(communications + 2 * overlapped));
    CHECK(comm_overlap(test::HandGraph::build(), test::HandGraph::timeline()).one_f_one_b.total_s ==
          0);
}
