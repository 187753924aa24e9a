#include "tools/report/report.hpp"

#include <algorithm>
#include <map>

#include "sim/confidence.hpp"
#include "sim/lowering.hpp"
#include "tools/report/over_time.hpp"
#include "tools/report/report_sections.hpp"
#include "tools/report/routing_layers.hpp"
#include "tools/report/topology_diff.hpp"

namespace r1 {

namespace {

// Bytes that one token causes in one MoE layer's forward pass: dispatch and combine.
double forward_token_bytes(const ExecutionGraph& graph) {
    std::map<Collective, double> payload;
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            const CommOp* comm = op.comm();
            if (comm != nullptr && comm->group == GroupKind::expert_parallel &&
                op.phase == Phase::forward) {
                payload[comm->collective] = comm->payload_bytes.constant;
            }
        }
    }
    return payload[Collective::dispatch] + payload[Collective::combine] +
           payload[Collective::low_latency_dispatch] + payload[Collective::low_latency_combine];
}

Json routing_json(const Scenario& scenario, const Simulation& simulation) {
    const ExpertTraffic& traffic = simulation.traffic;
    const double bytes = forward_token_bytes(simulation.graph);
    const LoadSpread spread =
        simulation.routing.even() ? LoadSpread{} : load_spread(simulation.routing);
    return {{"nodes_per_token_mean", traffic.nodes_per_token},
            {"nodes_per_token_max", traffic.nodes_per_token_max},
            {"ranks_per_token_mean", traffic.ranks_per_token},
            {"expert_load", {{"max_over_mean", spread.max_over_mean}, {"gini", spread.gini}}},
            {"rank_load",
             {{"max_over_mean",
               simulation.routing.even() ? 1.0 : rank_load_max_over_mean(simulation.routing)}}},
            {"ib_bytes_per_token", traffic.ib_copies_per_token * bytes},
            {"nvlink_bytes_per_token", traffic.nvlink_copies_per_token * bytes},
            {"layers", routing_layers_json(simulation.routing, scenario.stage_layers)}};
}

// Rates as DeepEP counts them, and on the wire: what leaves a GPU over either network.
Json all_to_all_json(const Simulation& simulation, const ExpertGroupShape& group) {
    const ChunkTemplate& chunk = simulation.graph.templates().front();
    const ExpertTraffic& traffic = simulation.traffic;
    Json json = Json::object();
    for (std::uint32_t op = 0; op < chunk.ops.size(); ++op) {
        const CommOp& comm = *chunk.ops[op].comm();
        TimePs longest = 0;
        for (std::uint32_t lane = 0; lane < simulation.timeline.lanes.size(); ++lane) {
            const Interval* interval = simulation.timeline.find({lane, 0, op});
            longest = std::max(longest, interval == nullptr ? 0 : interval->end - interval->start);
        }
        const double seconds = from_ps(longest).value();
        const double bytes = comm.payload_bytes.constant * static_cast<double>(comm.tokens);
        const auto rate = [&](double copies) {
            return seconds > 0 ? Json(bytes * copies / seconds / 1e9) : Json();
        };
        json[op == 0 ? "dispatch" : "combine"] = {
            {"time_us", seconds * 1e6},
            {"logical_gb_per_s", rate(logical_copies(comm.collective, traffic, group))},
            {"wire_gb_per_s",
             {{"nvlink", rate(traffic.nvlink_copies_per_token)},
              {"infiniband", rate(traffic.ib_copies_per_token)}}}};
    }
    return json;
}

Json baseline_json(const BaselineComparison& baseline) {
    Json by_resource = Json::array();
    for (const ResourceShare& share : baseline.by_resource) {
        by_resource.push_back({{"resource", name(share.resource)},
                               {"step_time_s", from_ps(share.step).value()},
                               {"contribution_s", from_ps(share.contribution).value()}});
    }
    return {{"cluster", baseline.cluster},
            {"calibration", baseline.calibration},
            {"step_time_s", from_ps(baseline.step).value()},
            {"difference_s", from_ps(baseline.difference).value()},
            {"by_resource", by_resource},
            {"changed", changes_json(baseline.changed)}};
}

Json sensitivity_json(const std::vector<Sensitivity>& sensitivity) {
    const auto times = [](const SensitivityTimes& of) {
        return Json{
            {"predicted_s", from_ps(of.predicted).value()},
            {"resimulated_s", of.resimulated ? Json(from_ps(*of.resimulated).value()) : Json()}};
    };
    Json list = Json::array();
    for (const Sensitivity& each : sensitivity) {
        list.push_back({{"resource", each.resource},
                        {"faster", times(each.faster)},
                        {"slower", times(each.slower)}});
    }
    return list;
}

}  // namespace

const Json* report_value(const Json& report, const std::string& metric) {
    std::string pointer = metric;
    if (pointer.empty() || pointer.front() != '/') {
        std::replace(pointer.begin(), pointer.end(), '.', '/');
        pointer.insert(pointer.begin(), '/');
    }
    try {
        const Json::json_pointer parsed(pointer);
        return report.contains(parsed) ? &report.at(parsed) : nullptr;
    } catch (const Json::exception&) {
        return nullptr;  // not a pointer at all
    }
}

namespace {

// What the simulation gave, from the step's time to the memory plan.
void add_results(Json& report, const Setting& setting, const Simulation& simulation) {
    const Scenario& scenario = setting.scenario;
    if (!simulation.timeline.lanes.empty()) {
        add_times(report, {setting, simulation.graph, simulation.timeline, &simulation.dag});
        const std::vector<LinkUsage> usage = link_usage(simulation.dag, simulation.timeline);
        report["network"] = network_json(usage);
        add_over_time(report, simulation.graph, simulation.timeline, usage);
        report["cost"] = cost_json(setting, report["step"]["time_s"].get<double>());
    }
    if (scenario.workload.kind == WorkloadKind::expert_all_to_all &&
        !simulation.timeline.lanes.empty()) {
        report["expert_all_to_all"] =
            all_to_all_json(simulation, expert_group_shape(simulation.graph, setting.topology));
    }
    if (simulation.bubble_parts) {
        const BubbleParts& parts = *simulation.bubble_parts;
        report["pipeline"]["bubble_parts_s"] = {{"dependency", parts.dependency_s},
                                                {"network", parts.network_s},
                                                {"sm_contention", parts.sm_contention_s}};
    }
    if (!simulation.sensitivity.empty()) {
        report["sensitivity"] = sensitivity_json(simulation.sensitivity);
    }
    if (simulation.baseline) {
        report["baseline"] = baseline_json(*simulation.baseline);
    }
    report["routing"] = routing_json(scenario, simulation);
    report["memory"] = memory_json(setting, simulation.memory);
}

// What is said about the results, and about how they came about.
void add_conclusion(Json& report, const Setting& setting, const Simulation& simulation,
                    const std::string& version, std::int64_t peak_memory_bytes) {
    const Scenario& scenario = setting.scenario;
    report["published"] = published_json(report, scenario.published, false);
    std::vector<std::string> warnings = setting.warnings;
    warnings.insert(warnings.end(), simulation.warnings.begin(), simulation.warnings.end());
    report["warnings"] = warnings;
    report["run_info"] = {{"measured", false},
                          {"engine", name(scenario.replay.engine)},
                          {"fold", name(scenario.replay.fold)},
                          {"activities", simulation.counts.activities},
                          {"flows", simulation.counts.flows},
                          {"graph_build_s", simulation.wall.graph_build_s},
                          {"lower_s", simulation.wall.lower_s},
                          {"replay_s", simulation.wall.replay_s},
                          {"peak_memory_bytes", peak_memory_bytes},
                          {"version", version}};
    if (const auto& difference = simulation.engine_difference) {
        report["run_info"]["engine_difference"] = {{"step", difference->step},
                                                   {"op_max", difference->op_max}};
    }
}

}  // namespace

Json make_report(const Setting& setting, const Simulation& simulation, const std::string& version,
                 std::int64_t peak_memory_bytes) {
    Json report = report_head(setting.scenario, simulation.graph);
    add_results(report, setting, simulation);
    report["confidence"] = confidence_json(confidence_of(setting, simulation));
    add_conclusion(report, setting, simulation, version, peak_memory_bytes);
    return report;
}

Json make_summary(const Setting& setting, const Simulation& simulation, const std::string& version,
                  std::int64_t peak_memory_bytes) {
    Json report = {{"graph", graph_json(simulation.graph)}};
    add_results(report, setting, simulation);
    add_conclusion(report, setting, simulation, version, peak_memory_bytes);
    return report_summary(report);
}

Json report_summary(const Json& report) {
    static const std::vector<Json::json_pointer> kept = [] {
        std::vector<Json::json_pointer> pointers;
        for (const char* pointer : {"/graph/hash",
                                    "/graph/ops",
                                    "/graph/edges",
                                    "/graph/ops_stored",
                                    "/step",
                                    "/pipeline/breakdown_s",
                                    "/layers",
                                    "/overlap",
                                    "/critical_path/by_kind",
                                    "/critical_path/by_resource",
                                    "/network/hottest",
                                    "/expert_all_to_all",
                                    "/baseline/step_time_s",
                                    "/baseline/difference_s",
                                    "/baseline/by_resource",
                                    "/routing",
                                    "/memory",
                                    "/cost",
                                    "/published",
                                    "/warnings",
                                    "/run_info"}) {
            pointers.emplace_back(pointer);
        }
        return pointers;
    }();
    Json summary = Json::object();
    for (const Json::json_pointer& pointer : kept) {
        if (report.contains(pointer)) {
            summary[pointer] = report.at(pointer);
        }
    }
    summary["routing"].erase("layers");  // for pictures, and most of the bytes
    return summary;
}

}  // namespace r1
