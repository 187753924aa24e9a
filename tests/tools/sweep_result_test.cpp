// Pareto front, best point, effects and CSV of lines made by hand; who takes which point.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "model/base/rng.hpp"
#include "tests/support/catch.hpp"
#include "tools/sweep/point_queue.hpp"
#include "tools/sweep/sweep_result.hpp"

namespace r1 {
namespace {

Json made_line(int point, const Json& axes, double time, double usd, double memory,
               bool fits = true) {
    return {
        {"schema", "r1sim.sweep_line/1"},
        {"point", point},
        {"axes", axes},
        {"exit_code", 0},
        {"step", {{"time_s", time}, {"tokens_per_s", 1000 / time}}},
        {"memory", {{"per_rank", {{{"total", memory / 2}}, {{"total", memory}}}}, {"fits", fits}}},
        {"cost", {{"usd", usd}}}};
}

Json refused_line(int point, const Json& axes) {
    return {{"schema", "r1sim.sweep_line/1"},
            {"point", point},
            {"axes", axes},
            {"exit_code", 3},
            {"error", "no, \"that\"\nis wrong"}};
}

// By the definition: nobody is at least as good in all and better in one.
std::set<std::size_t> front_by_definition(const std::vector<Objectives>& points) {
    std::set<std::size_t> front;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const Objectives& a = points[i];
        const bool beaten = std::any_of(points.begin(), points.end(), [&](const Objectives& b) {
            return b.time <= a.time && b.cost <= a.cost && b.memory <= a.memory &&
                   (b.time < a.time || b.cost < a.cost || b.memory < a.memory);
        });
        if (!beaten) {
            front.insert(i);
        }
    }
    return front;
}

}  // namespace

TEST_CASE("pareto front: is what its definition says, of many points", "[tools][sweep]") {
    const Rng rng(1, 2);
    std::uint64_t draw = 0;
    for (int round = 0; round < 20; ++round) {
        std::vector<Objectives> points;
        std::set<std::vector<double>> seen;
        while (points.size() < 40) {
            // Few values, so that many are equal in one or two.
            const auto value = [&] { return static_cast<double>(rng.bits(draw++) % 7); };
            const std::vector<double> point = {value(), value(), value()};
            if (seen.insert(point).second) {
                points.push_back({point[0], point[1], point[2]});
            }
        }
        const std::vector<std::size_t> front = pareto_front(points);
        CHECK(std::set<std::size_t>(front.begin(), front.end()) == front_by_definition(points));
        CHECK(std::is_sorted(front.begin(), front.end(), [&](std::size_t a, std::size_t b) {
            return points[a].time < points[b].time;
        }));
    }
    CHECK(pareto_front({{1, 1, 1}, {1, 1, 1}}) == std::vector<std::size_t>{0});
    CHECK(pareto_front({}).empty());
}

TEST_CASE("sweep result: best and front have room, effects are over all simulated points",
          "[tools][sweep]") {
    const Json lines = {made_line(0, {{"/a", 1}, {"/b", "x"}}, 4, 10, 50),
                        made_line(1, {{"/a", 1}, {"/b", "y"}}, 2, 20, 90, false),
                        made_line(2, {{"/a", 2}, {"/b", "x"}}, 3, 12, 60),
                        made_line(3, {{"/a", 2}, {"/b", "y"}}, 3, 12, 70),
                        refused_line(4, {{"/a", 3}, {"/b", "x"}})};
    const Json result = sweep_result("n", "hash", {"/a", "/b"}, lines);
    CHECK(result["points"] == 5);
    CHECK(result["simulated"] == 4);
    CHECK(result["without_room"] == 1);
    CHECK(result["refused"] == Json({{{"exit_code", 3},
                                      {"points", 1},
                                      {"first", 4},
                                      {"error", "no, \"that\"\nis wrong"}}}));
    CHECK(result["best"]["point"] == 2);
    std::vector<int> front;
    for (const Json& point : result["pareto_front"]) {
        front.push_back(point["point"].get<int>());
    }
    CHECK(front == std::vector<int>{2, 0});
    const Json& by_a = result["effects"][0]["values"];
    REQUIRE(by_a.size() == 2);  // nobody knows the effect of 3
    CHECK(by_a[0]["step_time_s"] == Json({{"mean", 3}, {"min", 2}, {"max", 4}}));
    CHECK(by_a[1]["memory_bytes"]["mean"] == 65);
    CHECK(result["effects"][1]["values"][1]["value"] == "y");
    CHECK(result["effects"][1]["values"][1]["usd"] ==
          Json({{"mean", 16}, {"min", 12}, {"max", 20}}));
    const std::string table = sweep_table(result, false);
    CHECK(table.find("1 refused with exit code 3, first point 4: no, \"that\"\n") !=
          std::string::npos);
    CHECK(table.find("is wrong") == std::string::npos);
}

TEST_CASE("sweep result: refusals are counted by their causes, whatever the numbers",
          "[tools][sweep]") {
    const auto refused = [](int point, int code, const std::string& error) {
        Json line = refused_line(point, {});
        line["exit_code"] = code;
        line["error"] = error;
        return line;
    };
    Json lines = {refused(0, 3, "a.json:2:20: /a: 7 does not divide 128\nand 3"),
                  refused(1, 3, "a.json:2:9: /b: must be 'x', found 'y'"),
                  refused(2, 3, "a.json:2:23: /a: 11 does not divide 128"),
                  refused(3, 1, "a.json:2:23: /a: 11 does not divide 128"),
                  refused(4, 3, "a.json:2:23: /a: 13 does not divide 128\nor 4")};
    const Json result = sweep_result("n", "hash", {}, lines);
    std::vector<std::vector<int>> found;
    for (const Json& entry : result["refused"]) {
        found.push_back({entry["exit_code"], entry["points"], entry["first"]});
    }
    CHECK(found == std::vector<std::vector<int>>{{3, 3, 0}, {3, 1, 1}, {1, 1, 3}});
    CHECK(result["refused"][0]["error"] == lines[0]["error"]);
    for (int i = 0; i < 12; ++i) {
        lines.push_back(
            refused(5 + i, 3, std::string(1, static_cast<char>('a' + i)) + " is wrong"));
    }
    const std::string table = sweep_table(sweep_result("n", "hash", {}, lines), false);
    CHECK(table.find("3 refused with exit code 3, first point 0: a.json:2:20: /a: 7 does not "
                     "divide 128\n1 refused with exit code 3, first point 1: ") !=
          std::string::npos);
    CHECK(table.find("and others for 5 more causes\n") != std::string::npos);
}

TEST_CASE("sweep result: points of other batches are compared by token", "[tools][sweep]") {
    // The second takes twice the time for four times the tokens, and costs less a token.
    Json larger = made_line(1, {}, 8, 30, 50);
    larger["step"]["tokens_per_s"] = 4000.0 / 8;
    const Json result =
        sweep_result("n", "hash", {}, Json::array({made_line(0, {}, 4, 10, 50), larger}));
    CHECK(result["compared_per"] == "token");
    CHECK(result["pareto_front"].size() == 1);
    CHECK(result["best"]["point"] == 1);
    // 8 s and 30 USD for 4000 tokens.
    const std::string table = sweep_table(result, false);
    CHECK(table.find("  point  s/M tokens  tokens/s  USD/M tokens  memory GB\n"
                     "  1            2000       500          7500      5e-08\n") !=
          std::string::npos);
    CHECK(sweep_result("n", "hash", {}, Json::array())["best"].is_null());
}

TEST_CASE("sweep csv: a row a point, texts quoted, lists left out", "[tools][sweep]") {
    const Json lines = {made_line(0, {{"/a", {{"b", "x"}}}}, 4, 10, 50),
                        refused_line(1, {{"/c", 2}})};
    CHECK(sweep_csv({"/a", "/c"}, lines) ==
          "point,exit_code,/a,/c,/step/time_s,/step/tokens_per_s,/memory/fits,/cost/usd,"
          "/memory/fullest_gpu_bytes,/error\r\n"
          "0,0,\"{\"\"b\"\":\"\"x\"\"}\",,4.0,250.0,true,10.0,50.0,\r\n"
          "1,3,,2,,,,,,\"no, \"\"that\"\"\nis wrong\"\r\n");
}

TEST_CASE("point queue: workers keep to their groups, then share what is left", "[tools][sweep]") {
    PointQueue queue({{0, 1, 2}, {3, 4, 5, 6}, {7}}, 2);
    CHECK(queue.take(0) == 3U);  // the largest first
    CHECK(queue.take(1) == 0U);
    CHECK(queue.take(1) == 1U);
    CHECK(queue.take(0) == 4U);
    CHECK(queue.take(1) == 2U);
    CHECK(queue.take(1) == 7U);  // nobody's yet
    CHECK(queue.take(1) == 5U);  // helps
    CHECK(queue.take(0) == 6U);
    CHECK(queue.take(0) == std::nullopt);
    CHECK(queue.take(1) == std::nullopt);
    PointQueue stopped({{0, 1}}, 1);
    CHECK(stopped.take(0) == 0U);
    stopped.stop();
    CHECK(stopped.take(0) == std::nullopt);
}

}  // namespace r1
