#include "tools/report/trace.hpp"

#include <map>
#include <sstream>
#include <string>
#include <utility>

#include "model/base/json.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"

using namespace r1;
using test::HandGraph;

namespace {

Json trace_of(const Timeline& timeline, TraceDetail detail) {
    std::ostringstream out;
    write_trace(out, HandGraph::build(), timeline, detail);
    return Json::parse(out.str()).at("traceEvents");
}

// Slices of a track, in the order of the file.
std::vector<Json> slices(const Json& events, int pid, int tid) {
    std::vector<Json> found;
    for (const Json& event : events) {
        if (event.at("ph") == "X" && event.at("pid") == pid && event.at("tid") == tid) {
            found.push_back(event);
        }
    }
    return found;
}

void check_no_overlap(const Json& events) {
    std::map<std::pair<int, int>, double> free_at_us;
    for (const Json& event : events) {
        if (event.at("ph") == "X") {
            double& free_at = free_at_us[{event.at("pid"), event.at("tid")}];
            const double start = event.at("ts");
            CHECK(start >= free_at);
            free_at = start + event.at("dur").get<double>();
        }
    }
}

}  // namespace

TEST_CASE("trace: segments of a step", "[tools][trace]") {
    const Json events = trace_of(HandGraph::timeline(), TraceDetail::segments);
    check_no_overlap(events);

    const std::vector<Json> chunks = slices(events, 0, 0);
    REQUIRE(chunks.size() == 3);  // F, BW, optimizer
    CHECK(chunks[0].at("name") == "F 0");
    CHECK(chunks[0].at("dur") == 7e6);
    CHECK(chunks[1].at("ts") == 16e6);
    CHECK(chunks[1].at("args") == Json({{"stage", 0}, {"micro_batch", 0}, {"direction", 0}}));
    CHECK(chunks[2].at("name") == "optimizer");

    // Norms [0, 2] and [2, 5] are one segment; the sum comes after a gap.
    const std::vector<Json> compute = slices(events, 0, 1);
    REQUIRE(compute.size() == 6);
    CHECK(compute[0].at("name") == "forward layer 0");
    CHECK(compute[0].at("dur") == 5e6);
    CHECK(compute[0].at("args").at("ops") == 2);
    CHECK(compute[1].at("ts") == 6e6);
    CHECK(compute[2].at("name") == "backward_input");
    CHECK(compute[3].at("args").at("phase") == "backward_weight");
    const std::vector<Json> comm = slices(events, 0, 3);
    REQUIRE(comm.size() == 1);
    CHECK(comm[0].at("name") == "dispatch layer 0");
    CHECK(slices(events, 1, 4).size() == 1);  // the send of rank 1
}

TEST_CASE("trace: all ops, named tracks", "[tools][trace]") {
    const Timeline timeline = HandGraph::timeline();
    const Json events = trace_of(timeline, TraceDetail::ops);
    check_no_overlap(events);
    std::size_t ops = 0;
    for (const int pid : {0, 1}) {
        for (int tid = 1; tid <= static_cast<int>(kStreamCount); ++tid) {
            ops += slices(events, pid, tid).size();
        }
    }
    CHECK(ops == timeline.intervals.size());
    CHECK(slices(events, 0, 1)[1].at("name") == "rms_norm");
    CHECK(slices(events, 0, 1)[1].at("args").at("layer") == 0);

    std::map<std::string, int> metadata;
    for (const Json& event : events) {
        if (event.at("ph") == "M") {
            ++metadata[event.at("name")];
        }
    }
    CHECK(metadata["process_name"] == 2);
    CHECK(metadata["process_sort_index"] == 2);
    // chunks, compute, send, recv and data_parallel of each rank, and the comm stream of rank 0
    CHECK(metadata["thread_name"] == 11);
    CHECK(metadata["thread_sort_index"] == 11);
}

TEST_CASE("trace: picoseconds survive, overlaps do not", "[tools][trace]") {
    Timeline timeline = HandGraph::timeline();
    timeline.intervals[0].end = 1'234'567;  // 1.234567 us
    std::ostringstream out;
    write_trace(out, HandGraph::build(), timeline, TraceDetail::ops);
    CHECK(out.str().find(R"("ts":0.000000,"dur":1.234567,)") != std::string::npos);

    test::set_seconds(timeline, {0, 0, 2}, 2, 6.5);  // into the sum, which starts at 6
    const Json events = trace_of(timeline, TraceDetail::ops);
    check_no_overlap(events);
    CHECK(slices(events, 0, 1)[2].at("ts") == 6.5e6);
    CHECK(slices(events, 0, 1)[2].at("dur") == 0.5e6);

    CHECK(trace_of(Timeline{}, TraceDetail::segments).empty());
}
