// Sweep files: the points that they stand for, their resolved scenarios, and what is refused.
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tools/report/report.hpp"
#include "tools/sweep/sweep_line.hpp"

namespace r1 {
namespace {

// A sweep over scenarios/tiny_train_cpu.json with these further members.
Json sweep_of_tiny(const std::string& members) {
    Json json = Json::parse("{" + members + "}");
    json["schema"] = "r1sim.sweep/1";
    if (!json.contains("base")) {
        json["base"] = (data_root() / "scenarios" / "tiny_train_cpu.json").string();
    }
    return json;
}

Sweep sweep_in_file(const Json& json, const std::vector<Override>& overrides = {}) {
    const test::TemporaryFolder folder("sweep");
    std::ofstream(folder / "sweep.json") << json.dump();
    return read_sweep(folder / "sweep.json", overrides);
}

Sweep sweep_from(const std::string& members) { return sweep_in_file(sweep_of_tiny(members)); }

std::vector<std::string> points_of(const Sweep& sweep) {
    std::vector<std::string> points;
    for (std::size_t i = 0; i < sweep.points.size(); ++i) {
        points.push_back(changes_of(sweep, i).dump());
    }
    return points;
}

std::vector<std::string> sweep_problems(const std::string& members) {
    std::vector<std::string> problems;
    try {
        sweep_from(members);
    } catch (const InputError& error) {
        for (const Diagnostic& problem : error.diagnostics()) {
            problems.push_back(problem.pointer + ": " + problem.message);
        }
    }
    return problems;
}

void check_sweep_refused(const std::string& members, const std::vector<std::string>& wanted) {
    INFO(members);
    const std::vector<std::string> problems = sweep_problems(members);
    REQUIRE(problems.size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        INFO(problems[i]);
        CHECK(problems[i].find(wanted[i]) != std::string::npos);
    }
}

}  // namespace

TEST_CASE("sweep: a grid has every combination, the last axis changing fastest", "[tools][sweep]") {
    const Sweep sweep = sweep_from(R"("axes": {"/a": [1, 2], "/b": ["x", "y", null]})");
    CHECK(points_of(sweep) ==
          std::vector<std::string>{R"({"/a":1,"/b":"x"})", R"({"/a":1,"/b":"y"})",
                                   R"({"/a":1,"/b":null})", R"({"/a":2,"/b":"x"})",
                                   R"({"/a":2,"/b":"y"})", R"({"/a":2,"/b":null})"});
    CHECK(sweep.axes == std::vector<std::string>{"/a", "/b"});
    CHECK(sweep.name == "sweep");
}

TEST_CASE("sweep: paired axes go together, a list says each point", "[tools][sweep]") {
    CHECK(points_of(sweep_from(R"("mode": "paired", "axes": {"/a": [1, 1], "/b": [3, 4]})")) ==
          std::vector<std::string>{R"({"/a":1,"/b":3})", R"({"/a":1,"/b":4})"});
    const Sweep list =
        sweep_from(R"("mode": "list", "points": [{"/b": 1}, {}, {"/a": 2, "/b": {"c": 3}}])");
    CHECK(points_of(list) ==
          std::vector<std::string>{R"({"/b":1})", "{}", R"({"/a":2,"/b":{"c":3}})"});
    CHECK(list.axes == std::vector<std::string>{"/b", "/a"});
}

TEST_CASE("sweep: a point's scenario is that of --set, and members come before their fields",
          "[tools][sweep]") {
    const Override fold{"/replay/fold", Json("ep_group"), "--set"};
    const Sweep sweep =
        sweep_in_file(sweep_of_tiny(R"("axes": {"/cluster/nvlink/bandwidth_gb_per_s": [123],
                                  "/cluster": ["h800_8x8"], "/seed": [1, 2]})"),
                      {fold});
    REQUIRE(sweep.points.size() == 2);
    const Json scenario = scenario_of(sweep, 1).root();
    CHECK(scenario["cluster"]["name"] == "h800_8x8");
    CHECK(scenario["cluster"]["nvlink"]["bandwidth_gb_per_s"] == 123);
    CHECK(scenario["seed"] == 2);
    std::vector<Override> overrides = {fold};
    for (const char* text :
         {"cluster=h800_8x8", "cluster.nvlink.bandwidth_gb_per_s=123", "seed=2"}) {
        overrides.push_back(parse_override(text));
    }
    CHECK(scenario ==
          load_scenario(data_root() / "scenarios" / "tiny_train_cpu.json", overrides).root());
}

TEST_CASE("sweep: an inline base is the base in a file", "[tools][sweep]") {
    const std::string axes = R"("axes": {"/plan/comm_sms": [1, 2]})";
    Json inline_base = sweep_of_tiny(axes);
    inline_base["base"] = Json::parse(read_file(data_root() / "scenarios" / "tiny_train_cpu.json"));
    const Sweep in_file = sweep_from(axes);
    CHECK(sweep_in_file(inline_base).hash == in_file.hash);
    CHECK(scenario_of(sweep_in_file(inline_base), 1).root() == scenario_of(in_file, 1).root());
}

TEST_CASE("sweep: the hash is of base, overrides and points", "[tools][sweep]") {
    const std::string axes = R"("axes": {"/plan/comm_sms": [1, 2]})";
    const std::set<std::string> hashes = {
        sweep_from(axes).hash, sweep_from(R"("axes": {"/plan/comm_sms": [2, 1]})").hash,
        sweep_in_file(sweep_of_tiny(axes), {{"/seed", Json(7), "--seed"}}).hash,
        sweep_from(axes + R"(, "base": ")" +
                   (data_root() / "scenarios" / "tiny_prefill_cpu.json").string() + "\"")
            .hash};
    CHECK(hashes.size() == 4);
    CHECK(sweep_from(axes + R"(, "name": "x", "comment": "y")").hash == sweep_from(axes).hash);
}

TEST_CASE("sweep: all that is wrong is said at once", "[tools][sweep]") {
    check_sweep_refused(
        R"("axes": {"/a": [], "plan.comm_sms": [1], "/b~2": [1], "/c": [1, 2, 1]},
                     "nmae": "x", "mode": "grid")",
        {"/axes/~1a: must be a list of values", "did you mean '/plan/comm_sms'",
         "is no JSON pointer", "/axes/~1c/2: 1 is there twice", "did you mean 'name'"});
    check_sweep_refused(R"("mode": "paired", "axes": {"/a": [1, 2], "/b": [3], "/c": [1, 2, 3]})",
                        {"/axes/~1b: has 1 values and /a has 2", "/axes/~1c: has 3 values"});
    check_sweep_refused(
        R"("mode": "list", "axes": {"/a": [1]}, "points": [3, {"": 1}, {"/a/": 1}])",
        {"mode list takes points", "/points/0: must be an object", "names no field",
         "names no field"});
    check_sweep_refused(R"("base": 3)", {"/base: must be a scenario", "/axes: must be an object"});
    check_sweep_refused(R"("mode": "gird", "axes": {"/a": [1]})", {"did you mean 'grid'"});
    Json many = Json::array();
    for (int i = 0; i < 400; ++i) {
        many.push_back(i);
    }
    check_sweep_refused(R"("axes": {"/a": )" + many.dump() + R"(, "/b": )" + many.dump() + "}",
                        {"more than 100000 points"});
}

TEST_CASE("sweep: huge axes are counted before they are looked at", "[tools][sweep]") {
    const auto axis = [](int values) {
        Json numbers = Json::array();
        for (int i = 0; i < values; ++i) {
            numbers.push_back(i);
        }
        numbers.push_back(0);
        return R"("axes": {"/seed": )" + numbers.dump() + "}";
    };
    check_sweep_refused(axis(100'000), {"/axes/~1seed: more than 100000 points"});
    // In time that grows with the count, not with its square.
    check_sweep_refused(axis(50'000), {"/axes/~1seed/50000: 0 is there twice"});
}

TEST_CASE("sweep: points of one graph are one group", "[tools][sweep]") {
    const Sweep sweep =
        sweep_from(R"("axes": {"/plan/comm_sms": [1, 2], "/plan/schedule": ["1f1b", "zb1p"],
                                         "/cluster/nodes": [1, 2]})");
    CHECK(graph_groups(sweep, {0, 1, 2, 3, 4, 5, 7}) ==
          std::vector<std::vector<std::size_t>>{{0, 1, 4, 5}, {2, 3, 7}});
}

TEST_CASE("sweep line: has the bytes of the report at the same pointers", "[tools][sweep]") {
    const Setting setting = test::tiny_setting({"replay.engine=fluid"});
    Simulation simulation = test::simulated(setting);
    simulation.sensitivity = step_sensitivity(setting, simulation, false);
    const Json report = make_report(setting, simulation, "1.2.3", 42);
    const Json summary = make_summary(setting, simulation, "1.2.3", 42);
    CHECK(report_summary(report).dump() == summary.dump());
    CHECK(summary["step"].dump() == report["step"].dump());
    CHECK(summary["memory"].dump() == report["memory"].dump());
    CHECK(summary["graph"]["hash"] == report["graph"]["hash"]);
    CHECK_FALSE(summary.contains("scenario"));
    CHECK_FALSE(summary["pipeline"].contains("per_rank"));
}

TEST_CASE("sweep line: a refused point says what simulate would", "[tools][sweep]") {
    const Sweep sweep = sweep_from(R"("axes": {"/plan/comm_sms": [1, -1]})");
    SharedWork shared;
    const Json line = simulate_point(sweep, 1, shared);
    CHECK(line["exit_code"] == 3);
    CHECK(line["axes"] == Json({{"/plan/comm_sms", -1}}));
    const auto error = line["error"].get<std::string>();
    CHECK(error.find("sweep.json:1:") != std::string::npos);  // where the value stands
    CHECK(error.find("/plan/comm_sms") != std::string::npos);
    CHECK_FALSE(is_simulated(line));
    CHECK(point_of_line(sweep, line.dump(), "file") == 1);
}

}  // namespace r1
