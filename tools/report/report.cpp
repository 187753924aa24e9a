#include "tools/report/report.hpp"

#include <algorithm>
#include <map>

#include "model/config/parameters.hpp"
#include "model/timeline/breakdown.hpp"
#include "model/timeline/critical_path.hpp"
#include "model/timeline/layer_times.hpp"
#include "model/timeline/overlap.hpp"
#include "sim/confidence.hpp"
#include "sim/link_usage.hpp"

namespace r1 {

namespace {

// MFU is against the dense BF16 peak of H800, H100 and H200 whatever the precision (design,
// section 6); other devices count against their own.
FlopsPerSecond mfu_peak(const Topology& topology) { return topology.device.peak(DType::bf16); }

Json resolved_scenario(const Scenario& scenario) {
    Json json = scenario.document.root();
    json["plan"]["data_parallel"] = scenario.plan.data_parallel;
    json["plan"]["stage_layers"] = scenario.stage_layers;
    return json;
}

// Chunks with their own hashes: equal chunks of different scenarios have the same.
Json graph_json(const ExecutionGraph& graph) {
    Json chunks = Json::array();
    for (const ChunkTemplate& chunk : graph.templates()) {
        chunks.push_back(
            {{"name", chunk.name}, {"hash", hash_of(chunk).hex()}, {"ops", chunk.ops.size()}});
    }
    return {{"hash", graph.hash().hex()},
            {"ops", graph.ops()},
            {"edges", graph.edges()},
            {"ops_stored", graph.ops_stored()},
            {"templates", graph.templates().size()},
            {"chunks", chunks}};
}

Json step_json(const Setting& setting, double seconds) {
    const Scenario& s = setting.scenario;
    const auto tokens = static_cast<double>(s.workload.tokens());
    const auto gpus = static_cast<double>(s.ranks());
    if (s.workload.kind == WorkloadKind::overlapped_pair) {
        // A part of a step: rates and utilisation are of whole models.
        const Json two = {{"causal", Json()}, {"non_causal", Json()}};
        return {{"time_s", seconds},
                {"tokens_per_s", Json()},
                {"tokens_per_day", Json()},
                {"mfu", two},
                {"tflops_per_gpu", two}};
    }
    const bool trains = s.workload.kind == WorkloadKind::train;
    const auto per_gpu = [&](bool causal) {
        const Flops token =
            trains ? training_flops_per_token(s.model, s.workload.sequence_length, causal)
                   : forward_flops_per_token(s.model, s.workload.sequence_length, causal);
        return token.value() * tokens / seconds / gpus;
    };
    const double peak = mfu_peak(setting.topology).value();
    return {{"time_s", seconds},
            {"tokens_per_s", tokens / seconds},
            {"tokens_per_day", tokens / seconds * 86400},
            {"mfu", {{"causal", per_gpu(true) / peak}, {"non_causal", per_gpu(false) / peak}}},
            {"tflops_per_gpu",
             {{"causal", per_gpu(true) / 1e12}, {"non_causal", per_gpu(false) / 1e12}}}};
}

Json breakdown_json(const PipelineBreakdown& b) {
    return {{"forward", b.forward_s},
            {"backward_input", b.backward_input_s},
            {"backward_weight", b.backward_weight_s},
            {"one_f_one_b", b.one_f_one_b_s},
            {"bubble", b.bubble_s},
            {"optimizer", b.optimizer_s}};
}

Json pipeline_json(const Scenario& scenario, const Simulation& simulation,
                   const PipelineTimes& times) {
    Json per_rank = Json::array();
    for (std::size_t lane = 0; lane < times.per_lane.size(); ++lane) {
        const std::int32_t program = simulation.timeline.lanes[lane].program;
        Json entry = {{"rank", program}, {"gpus", simulation.timeline.lanes[lane].multiplicity}};
        Json stages = Json::array();
        Json layers = Json::array();
        for (const std::int32_t stage :
             simulation.graph.programs()[static_cast<std::size_t>(program)].stages) {
            stages.push_back(stage);
            layers.push_back(scenario.stage_layers[static_cast<std::size_t>(stage)]);
        }
        entry["stages"] = stages;
        entry["layers"] = layers;
        entry["breakdown_s"] = breakdown_json(times.per_lane[lane]);
        per_rank.push_back(entry);
    }
    return {{"per_rank", per_rank}, {"breakdown_s", breakdown_json(times.mean)}};
}

Json layers_json(const Simulation& simulation) {
    Json list = Json::array();
    for (const LayerTimes& layer : layer_times(simulation.graph, simulation.timeline)) {
        list.push_back({{"layer", list.size()},
                        {"period_s", layer.period_s},
                        {"compute_busy_s", layer.compute_busy_s},
                        {"comm_busy_s", layer.comm_busy_s},
                        {"comm_exposed_s", layer.comm_exposed_s}});
    }
    return list;
}

Json overlap_json(const Overlap& overlap) {
    Json by_kind = Json::object();
    for (const auto& [kind, time] : overlap.by_kind) {
        by_kind[kind] = {{"total_s", time.total_s}, {"exposed_s", time.exposed_s}};
    }
    return {{"comm_total_s", overlap.comm_total_s},
            {"comm_exposed_s", overlap.comm_exposed_s},
            {"by_kind", by_kind}};
}

Json critical_path_json(const CriticalPath& path) {
    Json ops = Json::array();
    for (const CriticalPathStep& step : path.steps) {
        ops.push_back({{"rank", step.rank.value},
                       {"item", step.item},
                       {"kind", step.kind},
                       {"start_s", step.start_s},
                       {"end_s", step.end_s}});
    }
    return {{"by_kind", path.by_kind},
            {"by_resource", path.by_resource},
            {"ops_total", path.ops_total},
            {"ops_left_out", path.steps_left_out},
            {"ops", ops}};
}

Json network_json(const std::vector<LinkUsage>& usage) {
    Json links = Json::array();
    const LinkUsage* hottest = nullptr;
    for (const LinkUsage& link : usage) {
        links.push_back({{"id", link.id},
                         {"kind", link.kind},
                         {"bandwidth_gb_per_s", link.capacity.value() / 1e9},
                         {"mean_utilisation", link.mean_utilisation},
                         {"peak_utilisation", link.peak_utilisation},
                         {"bytes", link.bytes.value()}});
        if (hottest == nullptr || link.mean_utilisation > hottest->mean_utilisation) {
            hottest = &link;
        }
    }
    return {{"links", links}, {"hottest", hottest == nullptr ? Json() : Json(hottest->id)}};
}

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
    return payload[Collective::dispatch] + payload[Collective::combine];
}

Json routing_json(const Simulation& simulation) {
    const ExpertTraffic& traffic = simulation.traffic;
    const double bytes = forward_token_bytes(simulation.graph);
    return {{"nodes_per_token_mean", traffic.nodes_per_token},
            {"nodes_per_token_max", traffic.nodes_per_token_max},
            {"ranks_per_token_mean", traffic.ranks_per_token},
            {"expert_load", {{"max_over_mean", 1.0}, {"gini", 0.0}}},
            {"ib_bytes_per_token", traffic.ib_copies_per_token * bytes},
            {"nvlink_bytes_per_token", traffic.nvlink_copies_per_token * bytes}};
}

Json memory_json(const Setting& setting, const Simulation& simulation) {
    Json per_rank = Json::array();
    Bytes largest;
    for (std::size_t p = 0; p < simulation.memory.programs.size(); ++p) {
        const RankMemory& rank = simulation.memory.programs[p];
        per_rank.push_back({{"rank", p},
                            {"weights", rank.weights.value()},
                            {"gradients", rank.gradients.value()},
                            {"optimizer", rank.optimizer.value()},
                            {"activations_peak", rank.activations_peak.value()},
                            {"micro_batches_at_peak", rank.micro_batches_at_peak},
                            {"total", rank.total().value()}});
        largest = std::max(largest, rank.total());
    }
    return {{"per_rank", per_rank},
            {"capacity", setting.topology.device.memory.value()},
            {"fits", largest <= setting.topology.device.memory}};
}

Json cost_json(const Setting& setting, double seconds) {
    const Prices& prices = setting.scenario.prices;
    const double gpu_hours = static_cast<double>(setting.scenario.ranks()) * seconds / 3600;
    return {{"gpu_hours", gpu_hours},
            {"usd", gpu_hours * prices.usd_per_gpu_hour},
            {"energy_kwh", gpu_hours * setting.topology.device.power.value() / 1000 * prices.pue}};
}

Json confidence_json(const std::vector<Confidence>& entries) {
    Json list = Json::array();
    for (const Confidence& entry : entries) {
        list.push_back(
            {{"component", entry.component},
             {"level", entry.level},
             {"error_percent", entry.error_percent ? Json(*entry.error_percent) : Json()},
             {"source", entry.source}});
    }
    return list;
}

// Simulated beside published values; error: (simulated / published - 1) in per cent.
Json published_json(const Json& report, const std::vector<Published>& published) {
    Json list = Json::array();
    for (const Published& item : published) {
        const Json* value = report_value(report, item.metric);
        Json entry = {{"metric", item.metric}, {"published", item.value}};
        if (value != nullptr && value->is_number()) {
            entry["simulated"] = *value;
            entry["error_percent"] =
                item.value != 0 ? Json((value->get<double>() / item.value - 1) * 100) : Json();
        } else {
            entry["simulated"] = Json();
            entry["error_percent"] = Json();
        }
        entry["source"] = item.source;
        list.push_back(entry);
    }
    return list;
}

Json baseline_json(const BaselineComparison& baseline) {
    Json by_resource = Json::array();
    for (const ResourceShare& share : baseline.by_resource) {
        by_resource.push_back({{"resource", name(share.resource)},
                               {"step_time_s", from_ps(share.step).value()},
                               {"contribution_s", from_ps(share.contribution).value()}});
    }
    Json changed = Json::array();
    for (const HardwareChange& change : baseline.changed) {
        changed.push_back({{"resource", name(change.resource)},
                           {"what", change.what},
                           {"from", change.from},
                           {"to", change.to}});
    }
    return {{"cluster", baseline.cluster},
            {"calibration", baseline.calibration},
            {"step_time_s", from_ps(baseline.step).value()},
            {"difference_s", from_ps(baseline.difference).value()},
            {"by_resource", by_resource},
            {"changed", changed}};
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

Json make_report(const Setting& setting, const Simulation& simulation, const std::string& version,
                 std::int64_t peak_memory_bytes) {
    const Scenario& scenario = setting.scenario;
    Json report;
    report["schema"] = "r1sim.report/1";
    report["scenario"] = resolved_scenario(scenario);
    report["graph"] = graph_json(simulation.graph);
    if (!simulation.timeline.lanes.empty()) {
        const double seconds = from_ps(simulation.timeline.makespan()).value();
        report["step"] = step_json(setting, seconds);
        report["pipeline"] = pipeline_json(scenario, simulation,
                                           pipeline_times(simulation.graph, simulation.timeline));
        if (scenario.workload.kind == WorkloadKind::overlapped_pair) {
            report["layers"] = layers_json(simulation);
        }
        report["overlap"] = overlap_json(comm_overlap(simulation.graph, simulation.timeline));
        report["critical_path"] =
            critical_path_json(critical_path(simulation.graph, simulation.timeline));
        report["network"] = network_json(link_usage(simulation.dag, simulation.timeline));
        report["cost"] = cost_json(setting, seconds);
    }
    if (simulation.baseline) {
        report["baseline"] = baseline_json(*simulation.baseline);
    }
    report["routing"] = routing_json(simulation);
    report["memory"] = memory_json(setting, simulation);
    report["confidence"] = confidence_json(confidence_of(setting, simulation));
    report["published"] = published_json(report, scenario.published);
    report["warnings"] = setting.warnings;
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
    return report;
}

}  // namespace r1
