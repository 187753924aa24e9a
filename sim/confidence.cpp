#include "sim/confidence.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "sim/cost/cost_model.hpp"
#include "sim/trunks.hpp"

namespace r1 {

namespace {

std::string sources_of(const Calibration& calibration, const CalibrationCurve& curve) {
    std::set<std::string> texts;
    for (const CalibrationPoint& point : curve.points) {
        texts.insert(calibration.sources.at(point.source).text);
    }
    std::string joined = "calibration " + calibration.name + ", curve " + curve.kernel + ": ";
    bool first = true;
    for (const std::string& text : texts) {
        joined += (first ? "" : "; ") + text;
        first = false;
    }
    return joined;
}

// "measured" only if every point is.
std::string level_of(const Calibration& calibration, const CalibrationCurve& curve) {
    for (const CalibrationPoint& point : curve.points) {
        const std::string& level = calibration.sources.at(point.source).level;
        if (level != "measured") {
            return level;
        }
    }
    return "measured";
}

bool is_ring(Collective collective) {
    return collective == Collective::reduce_scatter || collective == Collective::all_gather ||
           collective == Collective::all_reduce;
}

// That the time of communication outside overlapped chunks comes from.
std::string communication_curve(const FittedCostModel& cost, const ExecutionGraph& graph,
                                Collective collective) {
    const bool exchanges = collective == Collective::dispatch ||
                           collective == Collective::combine || low_latency(collective);
    const CurveModel* links =
        exchanges ? cost.links_of(collective, graph.instances().expert_parallel, false) : nullptr;
    return links != nullptr ? links->curve().kernel : std::string(name(collective));
}

void add_kernels(const Setting& setting, const Simulation& simulation,
                 std::vector<Confidence>& entries) {
    const FittedCostModel cost(setting.calibration, setting.topology);
    std::map<std::string, CurveUse> kinds;
    std::set<std::string> extrapolated;
    std::set<std::string> exchanges;  // their curves
    // Rings that leave a node go by what links do, whatever was measured within one.
    const bool are_on_node = simulation.graph.instances().ranks() <= setting.topology.gpus_per_node;
    for (const ChunkTemplate& chunk : simulation.graph.templates()) {
        for (const Op& op : chunk.ops) {
            if (const CommOp* comm = op.comm()) {
                const bool stays = are_on_node || comm->group == GroupKind::tensor_parallel;
                if (is_ring(comm->collective) && !stays) {
                    continue;
                }
                exchanges.insert(communication_curve(cost, simulation.graph, comm->collective));
                continue;
            }
            const std::string kind(kind_name(op));
            kinds.try_emplace(kind, cost.curve_of(chunk, op));
            if (cost.extrapolates(chunk, op, simulation.symbols, setting.topology.device.sms)) {
                extrapolated.insert(kind);
            }
        }
    }
    const auto source = [&](const CalibrationCurve& curve) {
        return sources_of(setting.calibration, curve);
    };
    if (simulation.recorded) {
        kinds.clear();
        entries.push_back({"kernel", simulation.recorded->measured ? "measured" : "calibrated",
                           std::nullopt, "as in timeline " + simulation.recorded->timeline});
    }
    for (const auto& [kind, use] : kinds) {
        const CalibrationCurve& curve = use.model->curve();
        Confidence entry;
        entry.component = "kernel." + kind;
        entry.level = use.borrowed ? "assumed" : level_of(setting.calibration, curve);
        if (!use.borrowed) {
            entry.error_percent = leave_one_out_error_percent(*use.model);
        }
        entry.source = (use.borrowed ? "stands for it: " : "") + source(curve) +
                       (extrapolated.count(kind) > 0 ? "; beyond the measured sizes" : "");
        entries.push_back(std::move(entry));
    }
    for (const std::string& kind : exchanges) {
        if (const CalibrationCurve* curve = setting.calibration.curve(kind)) {
            const CurveModel* waits = cost.model(kind);
            entries.push_back({"kernel." + kind, level_of(setting.calibration, *curve),
                               waits != nullptr ? leave_one_out_error_percent(*waits)
                                                : exchange_error_percent(*curve),
                               source(*curve)});
        }
    }
}

std::string routing_text(const Scenario& scenario) {
    std::string text;
    switch (scenario.routing.source) {
        case RoutingSource::balanced:
            return "balanced: every expert and rank gets the same number of rows";
        case RoutingSource::zipf:
            text = "zipf: popularity of experts is a power law, alike in each layer";
            break;
        case RoutingSource::router:
            text = "router: normally distributed affinities of tokens to experts";
            break;
        case RoutingSource::captured: text = "captured: what the routers of a run chose"; break;
    }
    if (scenario.replay.fold == Folding::stage) {
        text +=
            "; folding stage gives all ranks what the fullest has, each layer's another: the "
            "step is an estimate from above";
    }
    return text;
}

std::string spine_text(const Setting& setting) {
    const Scenario& scenario = setting.scenario;
    if (!Trunks(setting.fabric, scenario.ranks(), scenario.seed).any()) {
        return "cannot limit: the uplinks of each leaf carry what the job's NICs below it send";
    }
    return scenario.replay.fold == Folding::none
               ? "flows that cross leaves share the uplinks of both, max-min"
               : "folded: ranks whose transfers cross leaves get the share of the worst placed, as "
                 "if all of a kind crossed at once";
}

std::string source_or(const Sources& sources, const std::string& key) {
    const auto found = sources.find(key);
    return found == sources.end() ? "topology file, no source given" : found->second;
}

}  // namespace

std::vector<Confidence> confidence_of(const Setting& setting, const Simulation& simulation) {
    std::vector<Confidence> entries;
    add_kernels(setting, simulation, entries);
    const Topology& topology = setting.topology;
    const bool assumed_cluster = setting.calibration.device == "cpu";
    const auto add = [&](const char* component, const std::string& level,
                         const std::string& source) {
        entries.push_back({component, level, std::nullopt, source});
    };
    const std::string published = assumed_cluster ? "assumed" : "measured";
    add("device.peaks", assumed_cluster ? "assumed" : "datasheet",
        source_or(topology.device.sources, "peaks_tflops.bf16"));
    add("network.nvlink", published, source_or(topology.sources, "nvlink.achievable_fraction"));
    if (topology.fabric.kind != FabricKind::none) {
        add("network.nic", published, source_or(topology.sources, "nic.achievable_fraction"));
        add("network.latency", published,
            source_or(topology.sources, "fabric.cross_leaf_latency_us"));
        add("network.spine", "assumed", spine_text(setting));
    }
    add("routing",
        setting.scenario.routing.source == RoutingSource::captured ? "measured" : "assumed",
        routing_text(setting.scenario));
    if (simulation.even_step) {
        const TimePs step = simulation.timeline.makespan();
        entries.push_back(
            {"replay.fold", "calibrated",
             (static_cast<double>(step) / static_cast<double>(*simulation.even_step) - 1) * 100,
             fmt::format("at most: folding stage gives each rank what the fullest has in each "
                         "layer; with even experts the step takes {:.4g} s, that of all ranks "
                         "(folding ep_group or none) lies between",
                         from_ps(*simulation.even_step).value())});
    }
    add("plan.stage_layers", setting.scenario.plan.stage_layers.empty() ? "assumed" : "datasheet",
        setting.scenario.plan.stage_layers.empty()
            ? "contiguous partition with the smallest largest stage; not published"
            : "scenario");
    add("optimizer.gradient_reduction", "assumed", "FP32 ring reduce-scatter, BF16 all-gather");
    add("comm_sms", "assumed",
        "what few SMs move was measured on one and two nodes of H100 (curves dispatch_sm_limit "
        "and combine_sm_limit)");
    add("left_out", "assumed",
        "stragglers unless the scenario has them, host stalls, checkpoints, data loading");
    return entries;
}

}  // namespace r1
