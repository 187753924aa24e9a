// Timeline files: what is written is read, and what is wrong is named.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "model/base/json.hpp"
#include "model/timeline/timeline_json.hpp"
#include "model/timeline/timeline_reader.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/support/catch.hpp"

using namespace r1;
using test::HandGraph;

namespace {

TimelineFile read_timeline_text(const std::string& text) {
    return read_timeline(Document::from_text(text, "t.json"));
}

std::string hand_text(bool measured) {
    const Timeline timeline = HandGraph::timeline();
    return timeline_text({{HandGraph::build(), timeline.intervals}}, timeline.lanes, measured);
}

// The problems of a document, as people see them.
std::vector<std::string> timeline_problems(const std::string& text) {
    std::vector<std::string> list;
    try {
        read_timeline_text(text);
    } catch (const InputError& error) {
        for (const Diagnostic& diagnostic : error.diagnostics()) {
            list.push_back(diagnostic.pointer + ": " + diagnostic.message);
        }
    }
    return list;
}

using Edit = void (*)(Json&);
std::vector<std::string> problems_after(Edit edit) {
    Json json = Json::parse(hand_text(true));
    edit(json);
    return timeline_problems(json.dump());
}

void check_one(Edit edit, const std::string& wanted) {
    const std::vector<std::string> found = problems_after(edit);
    INFO(wanted);
    REQUIRE(found.size() == 1);
    CHECK(found.front() == wanted);
}

}  // namespace

TEST_CASE("timeline file: is read as it was written", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    const Timeline timeline = HandGraph::timeline();
    const TimelineFile file = read_timeline_text(hand_text(true));
    CHECK(file.measured);
    REQUIRE(file.graphs.size() == 1);
    const RecordedGraph& recorded = file.graphs.front();
    CHECK(recorded.hash == graph.hash().hex());
    REQUIRE(recorded.timeline.lanes.size() == 2);
    CHECK(recorded.timeline.lanes[1].rank == RankId(std::size_t{1}));
    CHECK(recorded.timeline.lanes[1].program == 1);
    CHECK(recorded.timeline.lanes[1].multiplicity == 1);
    REQUIRE(recorded.timeline.intervals.size() == timeline.intervals.size());
    for (std::size_t i = 0; i < timeline.intervals.size(); ++i) {
        const Interval& is = recorded.timeline.intervals[i];
        const Interval& was = timeline.intervals[i];
        CHECK(is.op == was.op);
        CHECK(is.start == was.start);
        CHECK(is.end == was.end);
        const Item& item = graph.programs()[was.op.lane].items[was.op.item];
        const Op& op = graph.chunk(item.chunk).ops[was.op.op];
        CHECK(recorded.op(is.op).kind == kind_name(op));
        CHECK(recorded.op(is.op).stream == op.stream);
        CHECK(recorded.op(is.op).phase == op.phase);
        CHECK(recorded.op(is.op).layer == op.layer);
        CHECK(recorded.programs[was.op.lane][was.op.item].kind == item.kind);
    }
}

TEST_CASE("timeline file: a receive names its send", "[model][timeline]") {
    const ExecutionGraph graph = HandGraph::build();
    const TimelineFile file = read_timeline_text(hand_text(true));
    const RecordedGraph known = record(graph, HandGraph::timeline());
    using Send = std::pair<std::uint32_t, std::uint32_t>;
    for (const RecordedGraph* recorded : {&file.graphs.front(), &known}) {
        CHECK(recorded->programs[0][2].send == Send{1, 3});
        CHECK(recorded->programs[1][0].send == Send{0, 1});
        CHECK(!recorded->programs[0][1].send);
        CHECK(!recorded->programs[1][1].send);
    }
    check_one(
        [](Json& json) { json["graphs"][0]["programs"][0]["items"][2]["send"]["item"] = 9; },
        "/graphs/0/programs: there is no item 9 of a program 1, which an item names as its send");
    // Files of before have none.
    CHECK(problems_after([](Json& json) {
              json["graphs"][0]["programs"][0]["items"][2].erase("send");
          }).empty());
}

TEST_CASE("timeline file: several graphs, iterations and clocks", "[model][timeline]") {
    const ExecutionGraph first = HandGraph::build();
    const ExecutionGraph second = HandGraph::build(2);
    const std::vector<Lane> lanes = {{RankId(std::size_t{3}), 1, 4}};
    const std::vector<Interval> once = {{{0, 1, 0}, 0, 70, 80}};
    const std::vector<Interval> again = {{{0, 1, 0}, 1, 90, 95}, {{0, 0, 0}, 1, 81, 82}};
    const std::vector<Interval> other = {{{0, 4, 2}, 0, 60, 60}};
    for (const bool measured : {true, false}) {
        const TimelineFile file = read_timeline_text(
            timeline_text({{first, once}, {second, other}, {first, again}}, lanes, measured));
        const TimePs begin = measured ? 60 : 0;
        CHECK(file.measured == measured);
        REQUIRE(file.graphs.size() == 2);
        CHECK(file.graphs[0].hash == first.hash().hex());
        CHECK(file.graphs[1].hash == second.hash().hex());
        const std::vector<Interval>& intervals = file.graphs[0].timeline.intervals;
        REQUIRE(intervals.size() == 3);
        CHECK(intervals[0].op == OpRef{0, 0, 0});
        CHECK(intervals[2].iteration == 1);
        CHECK(intervals[2].end == 95 - begin);
        REQUIRE(file.graphs[1].timeline.intervals.size() == 1);
        CHECK(file.graphs[1].timeline.intervals[0].start == 60 - begin);
        CHECK(file.graphs[1].timeline.lanes[0].multiplicity == 4);
    }
    CHECK(read_timeline_text(timeline_text({}, {}, true)).graphs.empty());
}

TEST_CASE("timeline file: bad parts are named", "[model][timeline]") {
    check_one([](Json& t) { t["schema"] = "r1sim.report/1"; },
              "/schema: must be 'r1sim.timeline/1', found 'r1sim.report/1'");
    check_one([](Json& t) { t.erase("measured"); }, ": missing key 'measured'");
    check_one([](Json& t) { t["graphs"].push_back(t["graphs"][0]); },
              "/graphs/1/hash: an earlier graph has the same hash");
    check_one([](Json& t) { t["graphs"][0]["hash"] = "12"; },
              "/graphs/0/hash: must be 32 hexadecimal digits");
    check_one([](Json& t) { t["graphs"][0]["programs"][1]["items"][0]["kind"] = "G"; },
              "/graphs/0/programs/1/items/0/kind: must be one of 'F', 'B', 'W', 'BW', 'FB', "
              "'send', 'recv', 'optimizer', found 'G'");
    check_one([](Json& t) { t["lanes"][1]["rank"] = 0; },
              "/lanes/1/rank: rank 0 has a lane already");
    check_one([](Json& t) { t["lanes"][1]["multiplicity"] = 0; },
              "/lanes/1/multiplicity: must be from 1 to 2147483647, found 0");
    check_one([](Json& t) { t["columns"][1] = "item"; },
              "/columns: must be "
              R"(["graph","lane","item","op","iteration","start_ps","end_ps"])");
    check_one([](Json& t) { t["interval"] = 1; },
              "/interval: unknown key 'interval', did you mean 'intervals'?");
    CHECK(problems_after([](Json& t) {
              t["graphs"][0]["programs"][0]["items"][0]["ops"][0] = {
                  {"kind", "gem_bf16"}, {"stream", "x"}, {"phase", 1}, {"layer", -2}};
          }).size() == 4);
    CHECK_FALSE(timeline_problems("[]").empty());
    CHECK_THROWS_AS(read_timeline_text("{"), InputError);
    CHECK_THROWS_AS(read_timeline(std::filesystem::path("no-such-timeline.json")), InputError);
}

TEST_CASE("timeline file: bad intervals are named", "[model][timeline]") {
    check_one([](Json& t) { t["intervals"][3] = {0, 0, 0, 3, 0, 5}; },
              "/intervals/3: expects 7 whole numbers");
    check_one([](Json& t) { t["intervals"][3][5] = 1.5; },
              "/intervals/3: start_ps must be a whole number of at least 0, found 1.5");
    check_one([](Json& t) { t["intervals"][3][4] = -1; },
              "/intervals/3: iteration must be a whole number of at least 0, found -1");
    check_one([](Json& t) { t["intervals"][3][6] = std::uint64_t{1} << 63U; },
              "/intervals/3: end_ps must be a whole number of at least 0, found "
              "9223372036854775808");
    check_one([](Json& t) { t["intervals"][3][0] = 1; },
              "/intervals/3: there is no graph 1: 1 of them");
    check_one([](Json& t) { t["intervals"][3][1] = 2; },
              "/intervals/3: there is no lane 2: 2 of them");
    check_one([](Json& t) { t["intervals"][3][2] = 5; },
              "/intervals/3: there is no item 5: 5 of them");
    check_one([](Json& t) { t["intervals"][3][3] = 4; },
              "/intervals/3: there is no op 4: 4 of them");
    check_one([](Json& t) { t["intervals"][3][4] = std::int64_t{1} << 31U; },
              "/intervals/3: iteration is too large");
    check_one([](Json& t) { t["intervals"][3][6] = 0; }, "/intervals/3: ends before it starts");
    check_one([](Json& t) { t["intervals"][3] = t["intervals"][2]; },
              "/intervals/3: the op has an interval of iteration 0 already");
    check_one([](Json& t) { t["intervals"] = 7; }, "/intervals: must be an array of intervals");
    CHECK(problems_after([](Json& t) { t["lanes"][1]["program"] = 2; }).front() ==
          "/intervals/11: lane 1 runs program 2, which graph 0 has not");
    // All at once; of very many, their number.
    const std::vector<std::string> many = problems_after([](Json& t) {
        t["intervals"] = Json::array();
        for (int i = 0; i < 250; ++i) {
            t["intervals"].push_back(i);
        }
    });
    REQUIRE(many.size() == 101);
    CHECK(many.back() == "/intervals: 150 more intervals are wrong");
}

TEST_CASE("timeline file: an error names the interval's line", "[model][timeline]") {
    std::string text = hand_text(false);
    const std::size_t first = text.find("\"intervals\":[\n");
    const std::size_t row = text.find("[0,0,0,0,0,", first);
    REQUIRE(row != std::string::npos);
    text[row + 1] = '7';
    try {
        read_timeline_text(text);
        FAIL("no error");
    } catch (const InputError& error) {
        const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(row), '\n');
        CHECK(error.diagnostics().front().location.line == line);
    }
}
