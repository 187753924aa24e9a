// The report is what the timeline says, complete, and the same bytes for the same inputs.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "model/base/json_schema.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tools/report/report.hpp"

namespace r1 {
namespace {

struct SimulatedRun {
    Setting setting;
    Simulation simulation;
};

// Replayed once, for the tests that only read it.
const SimulatedRun& dualpipe() {
    static const SimulatedRun run = [] {
        SimulatedRun result{test::tiny_h800_setting("dualpipe", 4), {}};
        result.setting.scenario.published = {{"step.time_s", 0.5, "a table"},
                                             {"/step/mfu/causal", 0.25, "a table"},
                                             {"step.nothing", 1, "a table"},
                                             {"graph.hash", 1, "a table"},
                                             {"pipeline.breakdown_s.bubble", 0, "a table"}};
        result.simulation = test::simulated(result.setting);
        return result;
    }();
    return run;
}

Json report_of(const Setting& setting, const Simulation& simulation) {
    return make_report(setting, simulation, "1.2.3", 42);
}

Json dualpipe_report() { return report_of(dualpipe().setting, dualpipe().simulation); }

double at(const Json& report, const std::string& path) {
    const Json* value = report_value(report, path);
    REQUIRE(value != nullptr);
    REQUIRE(value->is_number());
    return value->get<double>();
}

const std::vector<std::string>& categories() {
    static const std::vector<std::string> names = {
        "forward", "backward_input", "bubble", "backward_weight", "one_f_one_b", "optimizer"};
    return names;
}

double breakdown_sum(const Json& breakdown) {
    CHECK(breakdown.size() == categories().size());
    double sum = 0;
    for (const std::string& category : categories()) {
        CHECK(breakdown.at(category).get<double>() >= 0);
        sum += breakdown.at(category).get<double>();
    }
    return sum;
}

// The interval that ends last: of all, or of those of chunks.
std::size_t last_interval(const Simulation& simulation, bool chunks_only) {
    const auto& intervals = simulation.timeline.intervals;
    std::size_t last = intervals.size();
    for (std::size_t i = 0; i < intervals.size(); ++i) {
        const Interval& interval = intervals[i];
        const Item& item = simulation.graph.programs()[interval.op.lane].items[interval.op.item];
        if ((!chunks_only || is_chunk(item.kind)) &&
            (last == intervals.size() || interval.end >= intervals[last].end)) {
            last = i;
        }
    }
    REQUIRE(last < intervals.size());
    return last;
}

std::vector<std::string> contract_paths() {
    std::vector<std::string> paths = {"schema",
                                      "scenario",
                                      "graph.hash",
                                      "graph.ops",
                                      "graph.edges",
                                      "network.links",
                                      "network.hottest",
                                      "confidence",
                                      "published",
                                      "pipeline.per_rank",
                                      "memory.per_rank",
                                      "memory.capacity",
                                      "memory.fits",
                                      "routing.expert_load.max_over_mean",
                                      "routing.expert_load.gini"};
    const auto add = [&](const char* prefix, const std::vector<std::string>& names) {
        for (const std::string& name : names) {
            paths.push_back(fmt::format("{}.{}", prefix, name));
        }
    };
    add("step", {"time_s", "tokens_per_s", "tokens_per_day", "mfu.causal", "mfu.non_causal",
                 "tflops_per_gpu.causal", "tflops_per_gpu.non_causal"});
    add("pipeline.breakdown_s", categories());
    add("overlap", {"comm_total_s", "comm_exposed_s", "one_f_one_b", "by_kind"});
    add("critical_path", {"by_kind", "by_resource", "by_rank", "ops"});
    add("routing", {"nodes_per_token_mean", "nodes_per_token_max", "ib_bytes_per_token",
                    "nvlink_bytes_per_token"});
    add("cost", {"gpu_hours", "usd", "energy_kwh"});
    add("run_info", {"measured", "engine", "fold", "graph_build_s", "lower_s", "replay_s",
                     "peak_memory_bytes", "version", "activities", "flows"});
    return paths;
}

void check_keys(const Json& list, const std::vector<std::string>& keys) {
    REQUIRE(list.is_array());
    REQUIRE_FALSE(list.empty());
    for (const Json& entry : list) {
        for (const std::string& key : keys) {
            INFO(key << " in " << entry.dump());
            CHECK(entry.contains(key));
        }
    }
}

}  // namespace

TEST_CASE("report: has every key of the contract", "[tools][report]") {
    const Json report = dualpipe_report();
    for (const std::string& path : contract_paths()) {
        INFO(path);
        CHECK(report_value(report, path) != nullptr);
    }
    check_keys(report["network"]["links"],
               {"id", "kind", "mean_utilisation", "peak_utilisation", "bytes"});
    check_keys(report["memory"]["per_rank"],
               {"weights", "gradients", "optimizer", "activations_peak", "total"});
    check_keys(report["confidence"], {"component", "level", "error_percent", "source"});
    check_keys(report["published"],
               {"metric", "published", "simulated", "error_percent", "source"});
    check_keys(report["critical_path"]["ops"], {"rank", "item", "kind", "start_s", "end_s"});
    CHECK(report["schema"] == "r1sim.report/1");
    CHECK(report["scenario"]["schema"] == "r1sim.scenario/1");
    CHECK(report["run_info"]["measured"] == false);
    CHECK(report["run_info"]["version"] == "1.2.3");
    CHECK(report["run_info"]["peak_memory_bytes"] == 42);
    for (const Json& entry : report["confidence"]) {
        const std::string level = entry["level"];
        CHECK((level == "measured" || level == "calibrated" || level == "datasheet" ||
               level == "assumed"));
        CHECK_FALSE(entry["source"].get<std::string>().empty());
    }
}

TEST_CASE("report: counts what the engine ran", "[tools][report]") {
    const Json report = dualpipe_report();
    const ReplayDag& dag = dualpipe().simulation.dag;
    std::int64_t flows = 0;
    dag.for_each_activity([&](LanePart, const Activity& activity) {
        for (const Flow& flow : activity.flows) {
            flows += flow.multiplicity;
        }
    });
    CHECK(report["run_info"]["activities"] == test::activities(dag));
    CHECK(report["run_info"]["flows"] == flows);
}

TEST_CASE("report: the six parts add up to the step", "[tools][report][slow]") {
    for (const char* schedule : {"dualpipe", "dualpipev", "1f1b", "zb1p", "interleaved"}) {
        INFO(schedule);
        const Setting setting = test::tiny_h800_setting(schedule, 4);
        const Json report = report_of(setting, test::simulated(setting));
        const double step = at(report, "step.time_s");
        CHECK(step > 0);
        CHECK(breakdown_sum(report["pipeline"]["breakdown_s"]) == Approx(step).epsilon(1e-9));
        CHECK(report["pipeline"]["per_rank"].size() == 4);
        for (const Json& rank : report["pipeline"]["per_rank"]) {
            CHECK(breakdown_sum(rank["breakdown_s"]) == Approx(step).epsilon(1e-9));
        }
        CHECK(report["critical_path"]["by_rank"].size() == 4);
        for (const char* shares : {"by_kind", "by_resource", "by_rank"}) {
            double sum = 0;
            for (const auto& [kind, seconds] : report["critical_path"][shares].items()) {
                sum += seconds.get<double>();
            }
            CHECK(sum == Approx(step).epsilon(1e-9));
        }
    }
}

TEST_CASE("report: derived figures follow from the step time", "[tools][report]") {
    const Json report = dualpipe_report();
    const double step = at(report, "step.time_s");
    const double tokens = 192.0 * 256;
    CHECK(at(report, "step.tokens_per_s") == Approx(tokens / step));
    CHECK(at(report, "step.tokens_per_day") == Approx(tokens / step * 86400));
    CHECK(at(report, "cost.gpu_hours") == Approx(64 * step / 3600));
    CHECK(at(report, "cost.usd") == Approx(2 * 64 * step / 3600));
    CHECK(at(report, "step.tflops_per_gpu.causal") ==
          Approx(at(report, "step.mfu.causal") * 989.0).epsilon(1e-3));
    CHECK(at(report, "step.mfu.causal") < at(report, "step.mfu.non_causal"));
}

TEST_CASE("report: published values stand beside simulated ones", "[tools][report]") {
    const Json report = dualpipe_report();
    const Json& published = report["published"];
    REQUIRE(published.size() == 5);
    const double step = at(report, "step.time_s");
    CHECK(published[0]["simulated"] == step);
    CHECK(published[0]["published"] == 0.5);
    CHECK(published[0]["source"] == "a table");
    CHECK(published[0]["error_percent"].get<double>() == Approx((step / 0.5 - 1) * 100));
    CHECK(published[1]["simulated"] == at(report, "step.mfu.causal"));
    // No such metric, or not a number: no error. Against zero: a value, but no error either.
    for (const std::size_t without : {std::size_t{2}, std::size_t{3}}) {
        CHECK(published[without]["simulated"].is_null());
        CHECK(published[without]["error_percent"].is_null());
    }
    CHECK(published[4]["simulated"] == at(report, "pipeline.breakdown_s.bubble"));
    CHECK(published[4]["error_percent"].is_null());
}

TEST_CASE("report: times come from the timeline alone", "[tools][report]") {
    const SimulatedRun& run = dualpipe();
    const Json before = dualpipe_report();
    const TimePs delta = to_ps(Seconds(0.125));
    const auto shifted_report = [&](std::size_t interval) {
        Simulation shifted = run.simulation;
        shifted.timeline.intervals[interval].end += delta;
        return report_of(run.setting, shifted);
    };

    // The step's last op ends later: so does the step, and all of it is optimizer time.
    const Json late = shifted_report(last_interval(run.simulation, false));
    CHECK(at(late, "step.time_s") == Approx(at(before, "step.time_s") + 0.125));
    for (const std::string& category : categories()) {
        INFO(category);
        const std::string path = "pipeline.breakdown_s." + category;
        CHECK(at(late, path) ==
              Approx(at(before, path) + (category == "optimizer" ? 0.125 : 0)).margin(1e-12));
    }

    // The last chunk ends later, past the optimizer: nothing is left of the optimizer's time, the
    // lane of the chunk has that much more backward, and the others have a bubble.
    const std::size_t last = last_interval(run.simulation, true);
    const TimePs chunk_end = run.simulation.timeline.intervals[last].end + delta;
    REQUIRE(chunk_end > run.simulation.timeline.makespan());
    const std::size_t lane = run.simulation.timeline.intervals[last].op.lane;
    const Json slow = shifted_report(last);
    CHECK(at(slow, "step.time_s") == Approx(from_ps(chunk_end).value()));
    CHECK(at(slow, "pipeline.breakdown_s.optimizer") == 0);
    const auto part = [](const Json& report, std::size_t rank, const char* category) {
        return report["pipeline"]["per_rank"][rank]["breakdown_s"][category].get<double>();
    };
    const auto backward = [&](const Json& report, std::size_t rank) {
        return part(report, rank, "backward_input") + part(report, rank, "backward_weight");
    };
    for (std::size_t rank = 0; rank < 4; ++rank) {
        INFO("rank " << rank);
        const double more = rank == lane ? 0.125 : 0;
        CHECK(backward(slow, rank) == Approx(backward(before, rank) + more));
        CHECK(part(slow, rank, "bubble") == Approx(part(before, rank, "bubble") + 0.125 - more));
    }
}

TEST_CASE("report: two runs print the same bytes but for run_info", "[tools][report][slow]") {
    for (const char* schedule : {"dualpipe", "interleaved"}) {
        const auto run = [&] {
            const Setting setting = test::tiny_h800_setting(schedule, 4);
            Json report = report_of(setting, test::simulated(setting));
            report.erase("run_info");
            return report.dump();
        };
        CHECK(run() == run());
    }
}

TEST_CASE("report: sensitivity as its schema says, replayed or not", "[tools][report]") {
    const auto file = data_root() / "scenarios" / "report.schema.json";
    const Json schema = Json::parse(read_file(file));
    for (const bool check : {false, true}) {
        Simulation simulation = dualpipe().simulation;
        simulation.sensitivity = step_sensitivity(dualpipe().setting, simulation, check);
        const Json report = report_of(dualpipe().setting, simulation);
        CHECK(schema_problems(schema, report).empty());
        const Json& compute = report["sensitivity"][0];
        CHECK(compute["resource"] == "compute");
        CHECK(compute["faster"]["predicted_s"] < at(report, "step.time_s"));
        CHECK(compute["slower"]["resimulated_s"].is_null() == !check);
        const std::string table = report_table(report, false);
        CHECK(test::contains(table, "step if 10 % faster"));
        CHECK(test::contains(table, "  replayed") == check);
        CHECK(test::contains(table, "matrix_units -"));
    }
    CHECK_FALSE(dualpipe_report().contains("sensitivity"));
}

TEST_CASE("report: parts of the bubble as its schema says, when they are known",
          "[tools][report]") {
    const Json schema = Json::parse(read_file(data_root() / "scenarios" / "report.schema.json"));
    Simulation simulation = dualpipe().simulation;
    simulation.bubble_parts = bubble_parts(dualpipe().setting, simulation);
    const Json report = report_of(dualpipe().setting, simulation);
    CHECK(schema_problems(schema, report).empty());
    CHECK(report["pipeline"]["bubble_parts_s"]["network"] == simulation.bubble_parts->network_s);
    CHECK_FALSE(dualpipe_report()["pipeline"].contains("bubble_parts_s"));
}

TEST_CASE("report: without a replay it ends with what the graph tells", "[tools][report][slow]") {
    const Simulation planned = prepare(dualpipe().setting);
    const Json report = report_of(dualpipe().setting, planned);
    CHECK(report["graph"] == dualpipe_report()["graph"]);
    CHECK(report["memory"] == dualpipe_report()["memory"]);
    for (const char* key : {"step", "pipeline", "overlap", "critical_path", "network", "cost"}) {
        CHECK_FALSE(report.contains(key));
    }
    CHECK(report["published"][0]["simulated"].is_null());
    CHECK_NOTHROW(report_table(report, false));
    CHECK_NOTHROW(report_table(dualpipe_report(), true));
}

TEST_CASE("report: the scenario in it is the one that ran", "[tools][report]") {
    const Json report = dualpipe_report();
    const Json& scenario = report["scenario"];
    CHECK(scenario["plan"]["data_parallel"] == 16);
    CHECK(scenario["plan"]["stage_layers"].size() == 4);
    CHECK(scenario["model"].is_object());
    CHECK(scenario["cluster"].is_object());
    CHECK(scenario["calibration"].is_object());
    // Read again, it gives the same graph.
    std::vector<std::string> notes;
    const Setting again = read_setting(Document::from_json(scenario, "report"), notes);
    CHECK(build_graph(again.scenario).hash().hex() == report["graph"]["hash"]);
}

}  // namespace r1
