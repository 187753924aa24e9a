#include "tools/report/report_sections.hpp"

#include <algorithm>
#include <map>

#include "model/config/parameters.hpp"
#include "model/timeline/breakdown.hpp"
#include "model/timeline/critical_path.hpp"
#include "model/timeline/layer_times.hpp"
#include "model/timeline/overlap.hpp"
#include "sim/path_resources.hpp"
#include "tools/report/report.hpp"

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

}  // namespace

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

namespace {

Json step_json(const Setting& setting, double seconds) {
    const Scenario& s = setting.scenario;
    const auto tokens = static_cast<double>(s.workload.tokens());
    const auto gpus = static_cast<double>(s.ranks());
    if (s.workload.kind == WorkloadKind::overlapped_pair ||
        s.workload.kind == WorkloadKind::expert_all_to_all) {
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

// Lanes of one pipeline rank together: the mean over the ranks that they stand for.
struct ProgramTimes {
    std::int64_t ranks = 0;
    PipelineBreakdown mean;
};

PipelineBreakdown weighted(const PipelineBreakdown& a, double weight_a, const PipelineBreakdown& b,
                           double weight_b) {
    const auto mix = [&](double x, double y) { return x * weight_a + y * weight_b; };
    return {mix(a.forward_s, b.forward_s),
            mix(a.backward_input_s, b.backward_input_s),
            mix(a.backward_weight_s, b.backward_weight_s),
            mix(a.one_f_one_b_s, b.one_f_one_b_s),
            mix(a.bubble_s, b.bubble_s),
            mix(a.optimizer_s, b.optimizer_s)};
}

std::map<std::int32_t, ProgramTimes> times_by_program(const std::vector<Lane>& lanes,
                                                      const PipelineTimes& times) {
    std::map<std::int32_t, ProgramTimes> programs;
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        ProgramTimes& program = programs[lanes[i].program];
        const std::int64_t ranks = program.ranks + lanes[i].multiplicity;
        const double share =
            static_cast<double>(lanes[i].multiplicity) / static_cast<double>(ranks);
        program.mean = weighted(program.mean, 1 - share, times.per_lane[i], share);
        program.ranks = ranks;
    }
    return programs;
}

Json pipeline_json(const RunFacts& facts) {
    const PipelineTimes times = pipeline_times(facts.graph, facts.timeline);
    Json per_rank = Json::array();
    for (const auto& [rank, program] : times_by_program(facts.timeline.lanes, times)) {
        Json entry = {{"rank", rank}, {"gpus", program.ranks}};
        Json stages = Json::array();
        Json layers = Json::array();
        for (const std::int32_t stage :
             facts.graph.programs()[static_cast<std::size_t>(rank)].stages) {
            stages.push_back(stage);
            layers.push_back(facts.setting.scenario.stage_layers[static_cast<std::size_t>(stage)]);
        }
        entry["stages"] = stages;
        entry["layers"] = layers;
        entry["breakdown_s"] = breakdown_json(program.mean);
        per_rank.push_back(entry);
    }
    return {{"per_rank", per_rank}, {"breakdown_s", breakdown_json(times.mean)}};
}

Json layers_json(const RunFacts& facts) {
    Json list = Json::array();
    for (const LayerTimes& layer : layer_times(facts.graph, facts.timeline)) {
        list.push_back({{"layer", list.size()},
                        {"period_s", layer.period_s},
                        {"compute_busy_s", layer.compute_busy_s},
                        {"comm_busy_s", layer.comm_busy_s},
                        {"comm_exposed_s", layer.comm_exposed_s}});
    }
    return list;
}

Json overlap_json(const Overlap& overlap) {
    const auto comm_time = [](const CommTime& time) {
        return Json{{"total_s", time.total_s}, {"exposed_s", time.exposed_s}};
    };
    Json by_kind = Json::object();
    for (const auto& [kind, time] : overlap.by_kind) {
        by_kind[kind] = comm_time(time);
    }
    return {{"comm_total_s", overlap.comm_total_s},
            {"comm_exposed_s", overlap.comm_exposed_s},
            {"one_f_one_b", comm_time(overlap.one_f_one_b)},
            {"by_kind", by_kind}};
}

Json critical_path_json(const RunFacts& facts) {
    const CriticalPath path = critical_path(facts.graph, facts.timeline);
    Json ops = Json::array();
    for (const CriticalPathStep& step : path.steps) {
        ops.push_back({{"rank", step.rank.value},
                       {"item", step.item},
                       {"kind", step.kind},
                       {"start_s", step.start_s},
                       {"end_s", step.end_s}});
    }
    return {
        {"by_kind", path.by_kind},
        {"by_resource", facts.dag == nullptr ? path.by_resource
                                             : path_resources(*facts.dag, facts.timeline, path)},
        {"by_rank", path.by_rank},
        {"ops_total", path.ops_total},
        {"ops_left_out", path.steps_left_out},
        {"ops", ops}};
}

}  // namespace

Json report_head(const Scenario& scenario, const ExecutionGraph& graph) {
    return {{"schema", "r1sim.report/1"},
            {"scenario", resolved_scenario(scenario)},
            {"graph", graph_json(graph)}};
}

void add_times(Json& report, const RunFacts& facts) {
    report["step"] = step_json(facts.setting, from_ps(facts.timeline.makespan()).value());
    report["pipeline"] = pipeline_json(facts);
    if (facts.setting.scenario.workload.kind == WorkloadKind::overlapped_pair) {
        report["layers"] = layers_json(facts);
    }
    report["overlap"] = overlap_json(comm_overlap(facts.graph, facts.timeline));
    report["critical_path"] = critical_path_json(facts);
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

Json memory_json(const Setting& setting, const MemoryPlan& memory) {
    Json per_rank = Json::array();
    Bytes largest;
    for (std::size_t p = 0; p < memory.programs.size(); ++p) {
        const RankMemory& rank = memory.programs[p];
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

Json published_json(const Json& report, const std::vector<Published>& published, bool measured) {
    Json list = Json::array();
    for (const Published& item : published) {
        const Json* found = report_value(report, item.metric);
        const bool is_number = found != nullptr && found->is_number();
        const Json value = is_number ? *found : Json();
        Json entry = {{"metric", item.metric}, {"published", item.value}};
        entry["simulated"] = measured ? Json() : value;
        if (measured) {
            entry["measured"] = value;
        }
        entry["error_percent"] = is_number && item.value != 0
                                     ? Json((value.get<double>() / item.value - 1) * 100)
                                     : Json();
        entry["source"] = item.source;
        list.push_back(entry);
    }
    return list;
}

}  // namespace r1
