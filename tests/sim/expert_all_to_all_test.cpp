// Expert all-to-alls alone: what links and kernels say against DeepEP's tables.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/cost/cost_model.hpp"
#include "sim/lowering.hpp"
#include "sim/simulate.hpp"
#include "tests/sim/published.hpp"
#include "tests/sim/small_scenario.hpp"
#include "tests/support/catch.hpp"
#include "tools/report/report.hpp"

namespace r1 {
namespace {

// reference/deepep.json: the final tables of V1, normal kernels of 2025-04-22 (GB/s) and
// low-latency ones of 2025-06-05 (us).
struct PublishedRow {
    bool low_latency;
    int ep;
    double dispatch;
    double combine;
};
constexpr PublishedRow kTables[] = {
    {false, 8, 153, 158}, {false, 16, 43, 43},  {false, 64, 51, 50},   {true, 8, 77, 114},
    {true, 16, 118, 195}, {true, 64, 173, 314}, {true, 128, 192, 369},
};

std::vector<std::string> options(bool low_latency, int ep) {
    return {std::string("workload.kernel=") + (low_latency ? "low_latency" : "normal"),
            "plan.expert_parallel=" + std::to_string(ep), "replay.engine=fluid"};
}

using test::all_to_all_setting;

Json all_to_all(const std::vector<std::string>& overrides) {
    const Setting setting = all_to_all_setting(overrides);
    return make_report(setting, test::simulated(setting), "test", 0)["expert_all_to_all"];
}

const CalibrationCurve& links_curve() { return *h800_calibration().curve("expert_all_to_all"); }

// EP of a point: its row says "ep 16 dispatch_us".
int ep_of(const CalibrationPoint& point) { return std::stoi(point.row.substr(3)); }

std::vector<double> left_out_errors(int ep) {
    CalibrationCurve others = links_curve();
    std::vector<CalibrationPoint> out;
    for (const CalibrationPoint& point : links_curve().points) {
        if (ep_of(point) == ep) {
            out.push_back(point);
        }
    }
    others.points.erase(std::remove_if(others.points.begin(), others.points.end(),
                                       [&](const auto& point) { return ep_of(point) == ep; }),
                        others.points.end());
    const CurveModel model(others, h800_calibration());
    std::vector<double> errors;
    for (const CalibrationPoint& point : out) {
        std::map<std::string, double> columns;
        for (std::size_t i = 0; i < others.columns.size(); ++i) {
            columns[others.columns[i]] = point.columns[i];
        }
        errors.push_back(std::abs(model.time(columns, {}).value() * 1e6 / point.value - 1));
    }
    return errors;
}

}  // namespace

TEST_CASE("expert all-to-all: each EP size follows from the others", "[sim][cost]") {
    std::vector<double> errors;
    for (const int ep : {8, 16, 64, 128}) {
        const std::vector<double> more = left_out_errors(ep);
        errors.insert(errors.end(), more.begin(), more.end());
    }
    REQUIRE(errors.size() == 14);
    std::sort(errors.begin(), errors.end());
    CHECK((errors[6] + errors[7]) / 2 <= 0.05);
    CHECK(errors[12] <= 0.15);  // 90th percentile
    // Three parameters for both tables.
    CHECK(CurveModel(links_curve(), h800_calibration()).parameters().size() == 3);
    CHECK(CurveModel(links_curve(), h800_calibration()).factors().empty());
}

TEST_CASE("expert all-to-all: points and replay are what DeepEP measured", "[sim][replay][slow]") {
    const Topology& topology = h800_topology();
    std::size_t next = 0;
    for (const PublishedRow& row : kTables) {
        const Setting setting = all_to_all_setting(options(row.low_latency, row.ep));
        Simulation simulation = prepare(setting);
        const ExpertTraffic& traffic = simulation.traffic;
        for (const Op& op : simulation.graph.templates().front().ops) {
            INFO((row.low_latency ? "low latency, EP " : "EP ") << row.ep << ", " << kind_name(op));
            const CalibrationPoint& point = links_curve().points.at(next++);
            ExpertExchangeCall call;
            call.collective = op.comm()->collective;
            call.token_bytes = Bytes(op.comm()->payload_bytes.constant);
            call.tokens = op.comm()->tokens;
            call.group = expert_group_shape(simulation.graph, topology);
            call.traffic = traffic;
            const auto columns =
                link_columns(call, {topology.nvlink.achievable(), topology.nic.bandwidth});
            for (std::size_t i = 0; i < links_curve().columns.size(); ++i) {
                INFO(links_curve().columns[i]);
                CHECK(point.columns[i] ==
                      Approx(columns.at(links_curve().columns[i])).epsilon(2e-3));
            }
            const double value = next % 2 == 1 ? row.dispatch : row.combine;
            const double logical =
                call.token_bytes.value() * static_cast<double>(call.tokens) *
                (row.ep == 8 ? traffic.ranks_per_token : traffic.nodes_per_token);
            CHECK(point.value ==
                  Approx(row.low_latency ? value : logical / value / 1e3).epsilon(2e-3));
        }
        replay(setting, simulation);
        const Json report = make_report(setting, simulation, "test", 0)["expert_all_to_all"];
        const char* figure = row.low_latency ? "time_us" : "logical_gb_per_s";
        // The fit's own residuals; normal kernels are the mean of three publications.
        CHECK(report["dispatch"][figure].get<double>() == Approx(row.dispatch).epsilon(0.09));
        CHECK(report["combine"][figure].get<double>() == Approx(row.combine).epsilon(0.09));
    }
    CHECK(next == links_curve().points.size());
}

TEST_CASE("expert all-to-all: rates are bytes over time", "[sim][report]") {
    const Json report = all_to_all(options(true, 32));
    const double bytes = 128 * 8 * (7168 + 4 * 56 + 16);
    const double time = report["dispatch"]["time_us"].get<double>();
    CHECK(report["dispatch"]["logical_gb_per_s"].get<double>() == Approx(bytes / time / 1e3));
    // Of 32 GPUs 24 are on other nodes, and 7 on the own one.
    const Json& wire = report["dispatch"]["wire_gb_per_s"];
    CHECK(wire["infiniband"].get<double>() == Approx(bytes * 24 / 32 / time / 1e3));
    CHECK(wire["nvlink"].get<double>() == Approx(bytes * 7 / 32 / time / 1e3));
}

TEST_CASE("expert all-to-all: more nodes take longer, and half a network twice as long",
          "[sim][replay][slow]") {
    for (const bool low_latency : {false, true}) {
        const auto seconds = [&](int ep, const char* nic) {
            std::vector<std::string> all = options(low_latency, ep);
            all.push_back(std::string("cluster.nic.bandwidth_gb_per_s=") + nic);
            return all_to_all(all)["combine"]["time_us"].get<double>();
        };
        const double whole = seconds(128, "50");
        CHECK(seconds(32, "50") < whole);
        const double startup =
            low_latency ? CurveModel(links_curve(), h800_calibration()).parameters().front() : 0;
        CHECK(seconds(128, "25") - startup == Approx(2 * (whole - startup)).epsilon(0.01));
    }
}

TEST_CASE("expert all-to-all: too few SMs slow normal kernels only", "[sim][cost]") {
    const auto seconds = [](bool low_latency, int ep, int sms) {
        std::vector<std::string> all = options(low_latency, ep);
        all.push_back("plan.comm_sms=" + std::to_string(sms));
        return all_to_all(all)["dispatch"]["time_us"].get<double>();
    };
    CHECK(seconds(false, 32, 4) > 1.5 * seconds(false, 32, 24));
    CHECK(seconds(true, 32, 4) == seconds(true, 32, 24));
    CHECK(seconds(false, 8, 4) > 1.5 * seconds(false, 8, 24));
}

TEST_CASE("expert all-to-all: no folding changes even traffic", "[sim][folding]") {
    for (const bool low_latency : {false, true}) {
        std::vector<double> times;
        for (const char* fold : {"stage", "ep_group", "none"}) {
            std::vector<std::string> all = options(low_latency, 32);
            all.push_back(std::string("replay.fold=") + fold);
            times.push_back(all_to_all(all)["dispatch"]["time_us"].get<double>());
        }
        CHECK(times[1] == Approx(times[0]).epsilon(1e-6));
        CHECK(times[2] == Approx(times[0]).epsilon(1e-6));
    }
}

TEST_CASE("expert all-to-all: a rank that all tokens choose gets all of their copies",
          "[sim][folding][slow]") {
    for (const char* fold : {"stage", "ep_group", "none"}) {
        INFO(fold);
        const auto run = [&](const char* routing) {
            std::vector<std::string> all = options(true, 16);
            all.push_back(std::string("replay.fold=") + fold);
            all.push_back(std::string("routing=") + routing);
            const Setting setting = all_to_all_setting(all);
            const Simulation simulation = test::simulated(setting);
            const Json report = make_report(setting, simulation, "test", 0);
            return std::pair(report["expert_all_to_all"]["dispatch"]["time_us"].get<double>(),
                             report["routing"]["expert_load"]["max_over_mean"].get<double>());
        };
        const double even = run(R"({"source": "balanced"})").first;
        // Nearly even experts take nearly as long, uneven ones as the fullest rank has it.
        CHECK(run(R"({"source": "zipf", "skew": 0})").first == Approx(even).epsilon(0.05));
        const auto [uneven, fullest_expert] = run(R"({"source": "zipf", "skew": 0.6})");
        CHECK(uneven > 1.1 * even);
        CHECK(uneven < fullest_expert * even);
    }
}

TEST_CASE("expert all-to-all: without low-latency kernels measured there is no time for them",
          "[sim][cost]") {
    Setting setting = all_to_all_setting(options(true, 16));
    auto& curves = setting.calibration.curves;
    curves.erase(std::remove_if(curves.begin(), curves.end(),
                                [](const auto& c) { return c.kernel == "expert_all_to_all"; }),
                 curves.end());
    CHECK_THROWS_AS(test::simulated(setting), InputError);
}

// A node is an NVLink domain: racks of 72 GPUs are nodes of 72.
std::vector<std::string> nodes_of(int gpus, int nics, int ep, const std::string& kernel) {
    std::string affinity;
    for (int gpu = 0; gpu < gpus; ++gpu) {
        affinity += (gpu > 0 ? "," : "") + std::to_string(gpu * nics / gpus);
    }
    const std::string size = std::to_string(gpus);
    const std::string ports = std::to_string(nics);
    return {"cluster.nodes=4",
            "cluster.gpus_per_node=" + size,
            "cluster.nvlink.domain_gpus=" + size,
            "cluster.nic.per_node=" + ports,
            "cluster.fabric.planes=" + ports,
            "cluster.nic.affinity=[" + affinity + "]",
            "workload.kernel=" + kernel,
            "plan.expert_parallel=" + std::to_string(ep),
            "replay.engine=fluid"};
}

TEST_CASE("expert all-to-all: NVLink domains of 4 to 72 GPUs", "[sim][topology][slow]") {
    for (const int gpus : {4, 36, 72}) {
        INFO(gpus << " GPUs a node");
        // Normal kernels, two nodes: each rank sends to its like on the other node, and passes on
        // to all others of its own.
        std::vector<std::string> options = nodes_of(gpus, gpus, 2 * gpus, "normal");
        options.push_back("replay.fold=none");
        const Simulation two = test::simulated(all_to_all_setting(options));
        two.dag.for_each_activity([&](LanePart, const Activity& activity) {
            CHECK((activity.flows.empty() ||
                   static_cast<int>(activity.flows.size()) == 2 * gpus * (1 + gpus - 1)));
        });
        CHECK(two.traffic.nodes_per_token <= 2);
        // One node: nothing leaves it. An eighth of a NIC for each GPU changes nothing then.
        const Simulation one =
            test::simulated(all_to_all_setting(nodes_of(gpus, gpus, gpus, "low_latency")));
        CHECK(one.traffic.ib_copies_per_token == 0);
        if (gpus % 8 == 0) {
            const auto makespan = [&](int nics, int ep) {
                return test::simulated(all_to_all_setting(nodes_of(gpus, nics, ep, "low_latency")))
                    .timeline.makespan();
            };
            CHECK(makespan(gpus / 8, gpus) == one.timeline.makespan());
            CHECK(makespan(gpus / 8, 2 * gpus) > makespan(gpus, 2 * gpus));
        }
    }
}

TEST_CASE("expert all-to-all: groups that do not fill nodes are an error", "[sim][topology]") {
    for (const auto& [gpus, ep] : {std::pair{8, 12}, std::pair{72, 64}, std::pair{36, 48}}) {
        CHECK_THROWS_AS(all_to_all_setting(nodes_of(gpus, gpus, ep, "low_latency")), InputError);
    }
}

}  // namespace r1
