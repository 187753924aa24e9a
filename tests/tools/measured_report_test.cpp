// The report of an executed run: the sections of a simulated one, and what only execution tells.
#include "tools/report/measured_report.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "model/base/json_schema.hpp"
#include "model/timeline/measured.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/measured_timeline.hpp"
#include "tools/report/report.hpp"
#include "tools/report/trace.hpp"

namespace r1 {
namespace {

struct Planned {
    Setting setting;
    Simulation simulation;  // not replayed
};

// Four pipeline ranks of two; experts on both.
const Planned& planned() {
    static const Planned result = [] {
        Planned made{test::tiny_setting(), {}};
        made.setting.scenario.published = {{"step.time_s", 0.5, "a table"},
                                           {"training.loss.last", 1.0, "a table"},
                                           {"step.nothing", 1, "a table"}};
        made.simulation = prepare(made.setting);
        return made;
    }();
    return result;
}

// Of exchanges in which each copy of a token crosses `infiniband` times between nodes, and `nvlink`
// times inside them, both ways of both passes.
Traffic traffic_of(const ExecutionGraph& graph, double infiniband, double nvlink) {
    Traffic traffic;
    for (const RankProgram& program : graph.programs()) {
        for (const Item& item : program.items) {
            for (const Op& op : graph.chunk(item.chunk).ops) {
                const CommOp* comm = op.comm();
                if (comm == nullptr || comm->group != GroupKind::expert_parallel ||
                    comm->collective == Collective::notify) {
                    continue;
                }
                const double bytes = static_cast<double>(comm->tokens) *
                                     comm->payload_bytes.constant * graph.instances().data_parallel;
                TrafficBytes& sent =
                    traffic[comm->collective == Collective::dispatch ? MessageKind::dispatch
                                                                     : MessageKind::combine];
                sent.infiniband += static_cast<std::uint64_t>(bytes * infiniband);
                sent.nvlink += static_cast<std::uint64_t>(bytes * nvlink);
            }
        }
    }
    traffic[MessageKind::pipeline].infiniband = 1000;
    traffic[MessageKind::notify].nvlink = 30;
    traffic[MessageKind::collective].nvlink = 500;
    traffic[MessageKind::report].nvlink = 77;  // of no op
    return traffic;
}

MeasuredRun measured_run() {
    const Simulation& simulation = planned().simulation;
    MeasuredRun run{
        planned().setting, simulation.graph, {}, {}, simulation.memory, {}, {}, {}, {}, {}};
    run.timeline = test::measured_timeline(simulation.graph, 5);
    run.iteration_s = {4, 1, 3, 2};
    for (int step = 0; step < 300; ++step) {
        run.training.loss.push_back(step < 100 ? 9.0 : step < 200 ? 6.0 : 4.0);
        run.training.mtp_loss.push_back(step == 0 ? 8.0 : 5.0);
    }
    run.training.held_out_loss = 4.5;
    run.training.byte_model_loss = 5.25;
    run.training.learning_rate = 3e-4;
    run.training.gradient_norm = 0.75;
    run.routing.nodes_per_token_mean = 1.5;
    run.routing.nodes_per_token_max = 2;
    run.routing.expert_load = {{{}, {1, 1, 1, 1}, {4, 0, 0, 0}}};
    run.traffic = traffic_of(simulation.graph, 0.5, 2);
    run.info = {"cpu", "threads", 2, 60, 300, 42, 1000, 900, "1.2.3"};
    run.warnings = {"one"};
    return run;
}

Json schema() {
    const auto file = data_root() / "scenarios" / "report.schema.json";
    return Json::parse(read_file(file));
}

void check_conforms(const Json& report) {
    const std::vector<SchemaProblem> problems = schema_problems(schema(), report);
    for (const SchemaProblem& problem : problems) {
        UNSCOPED_INFO(problem.pointer + ": " + problem.message);
    }
    CHECK(problems.empty());
}

double sum_of_parts(const Json& parts) {
    double sum = 0;
    for (const Json& part : parts) {
        sum += part.get<double>();
    }
    return sum;
}

}  // namespace

TEST_CASE("measured report: conforms to the schema of reports", "[tools][report]") {
    const Json measured = make_measured_report(measured_run());
    check_conforms(measured);
    const Json simulated = make_report(planned().setting, planned().simulation, "1.2.3", 42);
    check_conforms(simulated);
    // The checker sees what does not.
    Json wrong = measured;
    wrong["run_info"]["transport"] = "post";
    wrong["training"]["more"] = 1;
    wrong["network"]["links"][0].erase("bytes");
    wrong["routing"]["expert_load"]["gini"] = 2;
    wrong["graph"]["hash"] = "x";
    CHECK(schema_problems(schema(), wrong).size() == 5);
}

TEST_CASE("measured report: times are those of the iteration", "[tools][report]") {
    MeasuredRun run = measured_run();
    const Json report = make_measured_report(run);
    const double step = report["step"]["time_s"];
    CHECK(step == from_ps(one_iteration(run.timeline, 0).makespan()).value());
    CHECK(sum_of_parts(report["pipeline"]["breakdown_s"]) == Approx(step).epsilon(1e-9));
    // A pipeline rank is the mean over its ranks, as in a simulated report.
    REQUIRE(report["pipeline"]["per_rank"].size() == 4);
    double weighted = 0;
    for (const Json& rank : report["pipeline"]["per_rank"]) {
        CHECK(rank["gpus"] == 2);
        CHECK(sum_of_parts(rank["breakdown_s"]) == Approx(step).epsilon(1e-9));
        weighted += rank["breakdown_s"]["bubble"].get<double>() / 4;
    }
    CHECK(report["pipeline"]["breakdown_s"]["bubble"].get<double>() == Approx(weighted));
    CHECK(report["overlap"]["comm_exposed_s"] <= report["overlap"]["comm_total_s"]);
    CHECK(sum_of_parts(report["critical_path"]["by_kind"]) == Approx(step).epsilon(1e-9));
    CHECK(report["step"]["tokens_per_s"].get<double>() == Approx(16 * 256 / step));
    CHECK(report["cost"]["gpu_hours"].get<double>() == Approx(8 * step / 3600));

    const Json& iterations = report["step"]["iterations"];
    CHECK(iterations["count"] == 4);
    CHECK(iterations["time_s"] == Json({{"median", 2.5}, {"min", 1}, {"max", 4}, {"mean", 2.5}}));
    run.iteration_s = {5, 1, 2};
    CHECK(make_measured_report(run)["step"]["iterations"]["time_s"]["median"] == 2);
    run.iteration_s.clear();
    CHECK_FALSE(make_measured_report(run)["step"].contains("iterations"));
}

TEST_CASE("measured report: has the sections of a simulated one", "[tools][report]") {
    Json measured = make_measured_report(measured_run());
    Simulation replayed = planned().simulation;
    replay(planned().setting, replayed);
    const Json simulated = make_report(planned().setting, replayed, "1.2.3", 42);
    for (const auto& [key, section] : simulated.items()) {
        INFO(key);
        REQUIRE(measured.contains(key));
        for (const char* same : {"schema", "scenario", "graph", "memory"}) {
            CHECK((key != same || section == measured.at(key)));
        }
    }
    CHECK(measured["confidence"].size() == 1);
    CHECK(measured["confidence"][0]["level"] == "measured");
    CHECK(measured["warnings"] == Json({"one"}));
    const Json implementations = measured["run_info"].at("implementations");
    CHECK(implementations.at("gemm_fp8") == "cpu");
    CHECK(implementations.at("dispatch") == "threads");
    measured["run_info"].erase("implementations");
    CHECK(measured["run_info"] ==
          Json({{"measured", true},
                {"device", "cpu"},
                {"ranks", 8},
                {"ranks_per_node", 2},
                {"transport", "threads"},
                {"wall_s", 60.0},
                {"steps_per_s", 5.0},
                {"tokens_per_s", 5.0 * 16 * 256},
                {"peak_memory_bytes", 42},
                {"device_memory", {{"planned_bytes", 1000}, {"peak_bytes", 900}}},
                {"version", "1.2.3"}}));
    CHECK(measured["published"][0]["simulated"].is_null());
    CHECK(measured["published"][0]["measured"] == measured["step"]["time_s"]);
    CHECK(measured["published"][1]["error_percent"].get<double>() == Approx(300));
    CHECK(measured["published"][2]["measured"].is_null());
}

TEST_CASE("measured report: losses", "[tools][report]") {
    MeasuredRun run = measured_run();
    const Json training = make_measured_report(run)["training"];
    CHECK(training["steps"] == 300);
    CHECK(training["tokens"] == 300 * 16 * 256);
    // The last 200 of 300 steps: 100 of 6, 100 of 4.
    CHECK(training["loss"] == Json({{"first", 9.0}, {"last", 4.0}, {"mean_last_200", 5.0}}));
    CHECK(training["mtp_loss"] == Json({{"first", 8.0}, {"last", 5.0}, {"mean_last_200", 5.0}}));
    CHECK(training["held_out_loss"] == 4.5);
    CHECK(training["byte_model_loss"] == 5.25);
    CHECK(training["learning_rate"] == 3e-4);
    CHECK(training["gradient_norm"] == 0.75);

    // Fewer steps, no MTP module, and a loss that diverged.
    run.training.loss = {3, std::numeric_limits<double>::quiet_NaN()};
    run.training.mtp_loss.clear();
    run.training.held_out_loss.reset();
    run.training.byte_model_loss.reset();
    run.training.gradient_norm = std::numeric_limits<double>::infinity();
    const Json report = make_measured_report(run);
    CHECK(report["training"]["loss"]["last"].is_null());
    CHECK(report["training"]["loss"]["mean_last_200"].is_null());
    CHECK(report["training"]["mtp_loss"].is_null());
    CHECK(report["training"]["held_out_loss"].is_null());
    CHECK(report["training"]["gradient_norm"].is_null());
    check_conforms(report);
    CHECK(report_table(report, false).find("not finite") != std::string::npos);
}

TEST_CASE("measured report: bytes a token mean what a simulated report says", "[tools][report]") {
    const Json report = make_measured_report(measured_run());
    // The same copies, as simulate counts them.
    Simulation simulation = planned().simulation;
    simulation.traffic.ib_copies_per_token = 0.5;
    simulation.traffic.nvlink_copies_per_token = 2;
    const Json wanted = make_report(planned().setting, simulation, "", 0)["routing"];
    REQUIRE(wanted["ib_bytes_per_token"].get<double>() > 0);
    for (const char* key : {"ib_bytes_per_token", "nvlink_bytes_per_token"}) {
        CHECK(report["routing"][key].get<double>() == Approx(wanted[key].get<double>()));
    }
    CHECK(report["routing"]["nodes_per_token_mean"] == 1.5);
    CHECK(report["routing"]["nodes_per_token_max"] == 2);
    CHECK(report["routing"]["layers"] == Json({{{"layer", 1}, {"expert_load", "100 100 100 100"}},
                                               {{"layer", 2}, {"expert_load", "400 0 0 0"}}}));
    // A dense model sends no tokens.
    const Setting dense =
        test::tiny_setting({"model.n_routed_experts=0", "plan.expert_parallel=1"});
    const Simulation plain = prepare(dense);
    MeasuredRun run = measured_run();
    const MeasuredRun without{dense, plain.graph,  test::measured_timeline(plain.graph, 1),
                              {},    plain.memory, run.training,
                              {},    {},           run.info,
                              {}};
    const Json routing = make_measured_report(without)["routing"];
    CHECK(routing["ib_bytes_per_token"] == 0);
    const Json even = {{"max_over_mean", 1.0}, {"gini", 0.0}};
    CHECK(routing["expert_load"]["max_over_mean"] == 1);
    CHECK(routing["expert_load"]["gini"] == 0);
    CHECK(routing["expert_load"]["of_sum"] == even);
}

TEST_CASE("measured report: expert load", "[tools][report]") {
    MeasuredRun run = measured_run();
    const auto load = [&] { return make_measured_report(run)["routing"]["expert_load"]; };
    // Balanced: 1 and 0. All on one of four: 4 and 3/4. Their mean.
    CHECK(load()["max_over_mean"] == 2.5);
    CHECK(load()["gini"] == 0.375);
    // 1, 2, 3, 6 (mean 3): 2, and 2 (1 + 4 + 9 + 24) / (4 x 12) - 5/4 = 1/3. Layers without tokens
    // do not count.
    run.routing.expert_load = {{{3, 1, 6, 2}, {0, 0, 0, 0}}};
    CHECK(load()["max_over_mean"] == 2);
    CHECK(load()["gini"].get<double>() == Approx(1.0 / 3));
    // Only the last hundred steps.
    run.routing.expert_load.assign(150, {{1, 1}});
    std::fill_n(run.routing.expert_load.begin(), 50,
                std::vector<std::vector<std::int32_t>>{{9, 0}});
    CHECK(load()["max_over_mean"] == 1);
    run.routing.expert_load[50] = {{2, 0}};
    CHECK(load()["max_over_mean"].get<double>() == Approx(1.01));
    // Added up, 101 and 99.
    CHECK(load()["of_sum"]["max_over_mean"].get<double>() == Approx(1.01));
    run.routing.expert_load[51] = {{0, 2}};
    CHECK(load()["max_over_mean"].get<double>() == Approx(1.02));
    CHECK(load()["of_sum"]["max_over_mean"] == 1);
}

TEST_CASE("measured report: bytes of links by kind", "[tools][report]") {
    const MeasuredRun run = measured_run();
    const Json network = make_measured_report(run)["network"];
    REQUIRE(network["links"].size() == 2);
    CHECK(network["hottest"].is_null());
    CHECK(network["links"][0]["id"] == "infiniband");
    CHECK(network["links"][1]["id"] == "nvlink");
    for (const Json& link : network["links"]) {
        CHECK(link["mean_utilisation"].is_null());
        CHECK(link["bytes"].get<double>() == sum_of_parts(link["bytes_by_kind"]));
    }
    CHECK(network["links"][0]["bytes_by_kind"]["pipeline"] == 1000);
    CHECK(network["links"][1]["bytes_by_kind"]["combine"] ==
          run.traffic[MessageKind::combine].nvlink);
    CHECK_FALSE(network["links"][1]["bytes_by_kind"].contains("report"));
}

TEST_CASE("measured report: as a table", "[tools][report]") {
    const Json report = make_measured_report(measured_run());
    const std::string table = report_table(report, false);
    const auto has = [&](const std::string& text) {
        INFO(text);
        CHECK(table.find(text) != std::string::npos);
    };
    has("measured on 8 cpu ranks (threads, 2 a node) in 60.00 s");
    has("1.000 to 4.000 s in 4 steps");
    has("4.0000  from 9.0000, mean of the last 200: 5.0000");
    has("4.5000  an order-2 byte model: 5.2500");
    has("gradient norm 0.75");
    has("infiniband a step");
    has("measured       published");
    CHECK(table.find("simulated") == std::string::npos);
    // From a file, where it has lost its types.
    CHECK(report_table(Json::parse(report.dump()), false) == table);
}

TEST_CASE("measured report: a trace has a process a rank", "[tools][trace]") {
    const ExecutionGraph& graph = planned().simulation.graph;
    const Timeline timeline = one_iteration(test::measured_timeline(graph, 5), 0);
    for (const TraceDetail detail : {TraceDetail::segments, TraceDetail::ops}) {
        std::ostringstream out;
        write_trace(out, graph, timeline, detail);
        std::set<int> ranks;
        std::size_t ops = 0;
        std::map<std::pair<int, int>, double> free_at_us;
        const Json trace = Json::parse(out.str());
        for (const Json& event : trace["traceEvents"]) {
            if (event["ph"] != "X") {
                continue;
            }
            const int rank = event["pid"];
            const int track = event["tid"];
            ranks.insert(rank);
            ops += track > 0 ? 1 : 0;
            double& free_at = free_at_us[{rank, track}];
            CHECK(event["ts"].get<double>() >= free_at - 1e-6);
            CHECK(event["dur"].get<double>() >= 0);
            free_at = event["ts"].get<double>() + event["dur"].get<double>();
        }
        CHECK(ranks == std::set<int>{0, 1, 2, 3, 4, 5, 6, 7});
        CHECK((detail == TraceDetail::segments || ops == timeline.intervals.size()));
    }
}

}  // namespace r1
