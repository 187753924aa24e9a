// What reports keep of a timeline for pictures: a step solved by hand, and its agreement with the
// report's own numbers.
#include "tools/report/over_time.hpp"

#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "model/base/json_schema.hpp"
#include "tests/model/timeline_fixture.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"
#include "tools/report/report.hpp"

namespace r1 {
namespace {

using test::HandGraph;

Json shown_of(const ExecutionGraph& graph, const Timeline& timeline) {
    Json report;
    add_over_time(report, graph, timeline, {});
    return report;
}

Json over_time_of(const Timeline& timeline) {
    return shown_of(HandGraph::build(), timeline)["over_time"];
}

Json largest_bubble_of(const Timeline& timeline) {
    return shown_of(HandGraph::build(), timeline)["pipeline"]["largest_bubble"];
}

std::vector<double> numbers(const Json& text) {
    std::istringstream stream(text.get<std::string>());
    return {std::istream_iterator<double>(stream), std::istream_iterator<double>()};
}

const Json& uneven_report() {
    static const Json report = [] {
        const Setting setting = test::tiny_h800_setting(
            "dualpipe", 4, {R"(routing={"source": "zipf", "skew": 0.5, "node_limit": 2})"});
        return make_report(setting, test::simulated(setting), "1.2.3", 42);
    }();
    return report;
}

}  // namespace

TEST_CASE("over time: a step solved by hand, in units of 10 us", "[tools][report]") {
    const Json json = over_time_of(HandGraph::timeline());
    CHECK(json["unit_ps"] == 10'000'000);
    REQUIRE(json["lanes"].size() == 2);
    const Json& lane = json["lanes"][0];
    CHECK(lane["pipeline_rank"] == 0);
    CHECK(lane["chunks"] == Json({"F 0/0/0 0 700000", "BW 0/0/0 1600000 2000000"}));
    // Busy [0, 5], [6, 7], [16, 21], [23, 24].
    CHECK(lane["compute"] == "0 500000 100000 100000 900000 500000 200000 100000");
    CHECK(lane["communication"] == Json({{"send", "700000 200000"},
                                         {"recv", "1400000 200000"},
                                         {"dispatch", "200000 400000"},
                                         {"all_reduce", "2100000 200000"}}));
    CHECK(json["lanes"][1]["chunks"] ==
          Json({"F 1/0/0 900000 1200000", "BW 1/0/0 1200000 1700000"}));
}

TEST_CASE("over time: gaps below a twentieth of a thousandth are left out", "[tools][report]") {
    Timeline timeline = HandGraph::timeline();
    test::set_seconds(timeline, {0, 0, 3}, 5.001, 7);  // a gap of 1 ms; 25 s / 20000 = 1.25 ms
    CHECK(over_time_of(timeline)["lanes"][0]["compute"] == "0 700000 900000 500000 200000 100000");
    test::set_seconds(timeline, {0, 0, 3}, 5.002, 7);
    CHECK(over_time_of(timeline)["lanes"][0]["compute"] ==
          "0 500000 200 199800 900000 500000 200000 100000");
}

TEST_CASE("over time: of several lanes of a pipeline rank the first", "[tools][report]") {
    Timeline timeline;
    for (const std::int32_t program : {0, 0, 1, 1}) {
        HandGraph::append_lane(timeline, RankId(timeline.lanes.size()), program);
    }
    const Json lanes = shown_of(HandGraph::build(2), timeline)["over_time"]["lanes"];
    REQUIRE(lanes.size() == 2);
    CHECK(lanes[0]["rank"] == 0);
    CHECK(lanes[1]["rank"] == 2);
}

TEST_CASE("largest bubble: before, between and after chunks", "[tools][report]") {
    Timeline timeline = HandGraph::timeline();
    // Two of 9 s: between the chunks of rank 0, which comes first, and before those of rank 1.
    CHECK(largest_bubble_of(timeline) ==
          Json({{"rank", 0}, {"start_s", 7.0}, {"end_s", 16.0}, {"duration_s", 9.0}}));
    test::set_seconds(timeline, {1, 1, 0}, 10, 12);
    CHECK(largest_bubble_of(timeline) ==
          Json({{"rank", 1}, {"start_s", 0.0}, {"end_s", 10.0}, {"duration_s", 10.0}}));
    // The last chunk of rank 0 ends at 40: rank 1 waits from 17 until then.
    test::set_seconds(timeline, {0, 3, 1}, 19, 40);
    CHECK(largest_bubble_of(timeline) ==
          Json({{"rank", 1}, {"start_s", 17.0}, {"end_s", 40.0}, {"duration_s", 23.0}}));
}

TEST_CASE("over time: agrees with the report it is in", "[tools][report]") {
    const Json& report = uneven_report();
    const Json schema = Json::parse(read_file(data_root() / "scenarios" / "report.schema.json"));
    for (const SchemaProblem& problem : schema_problems(schema, report)) {
        FAIL_CHECK(problem.pointer + ": " + problem.message);
    }
    const Json& shown = report["over_time"];
    SECTION("columns of a link have the mean that network.links says") {
        const Json& links = report["network"]["links"];
        REQUIRE(shown["links"].size() == links.size());
        for (std::size_t i = 0; i < links.size(); ++i) {
            const std::vector<double> percent = numbers(shown["links"][i]["utilisation_percent"]);
            REQUIRE(percent.size() == 200);
            CHECK(shown["links"][i]["id"] == links[i]["id"]);
            const double mean = std::accumulate(percent.begin(), percent.end(), 0.0) / 200;
            // Half a per cent of rounding; parts that were cut off at 1.
            CHECK(mean <= links[i]["mean_utilisation"].get<double>() * 100 + 0.5);
            CHECK(mean >= links[i]["mean_utilisation"].get<double>() * 90 - 0.5);
        }
    }
    SECTION("chunks leave the bubble that pipeline says") {
        const double unit_s = shown["unit_ps"].get<double>() * 1e-12;
        for (std::size_t rank = 0; rank < shown["lanes"].size(); ++rank) {
            double busy = 0;
            for (const Json& row : shown["lanes"][rank]["chunks"]) {
                std::istringstream text(row.get<std::string>());
                std::string kind, of;
                double from = 0, to = 0;
                text >> kind >> of >> from >> to;
                busy += (to - from) * unit_s;
            }
            const Json& parts = report["pipeline"]["per_rank"][rank]["breakdown_s"];
            CHECK(report["step"]["time_s"].get<double>() - parts["optimizer"].get<double>() -
                      busy ==
                  Approx(parts["bubble"].get<double>()).margin(100 * unit_s));
        }
    }
    SECTION("loads and node shares are those of the routing") {
        const Json& routing = report["routing"];
        REQUIRE_FALSE(routing["layers"].empty());
        for (const Json& layer : routing["layers"]) {
            const std::vector<double> loads = numbers(layer["expert_load"]);
            CHECK(*std::max_element(loads.begin(), loads.end()) ==
                  Approx(routing["expert_load"]["max_over_mean"].get<double>() * 100).margin(0.51));
            const std::vector<double> nodes = numbers(layer["node_share"]);
            CHECK(std::accumulate(nodes.begin(), nodes.end(), 0.0) ==
                  Approx(routing["nodes_per_token_mean"].get<double>() * 100).margin(1.01));
        }
    }
}

}  // namespace r1
