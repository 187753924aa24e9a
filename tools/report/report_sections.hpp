// The sections that reports of simulated and measured runs share.
#pragma once

#include <vector>

#include "model/base/json_fwd.hpp"
#include "sim/confidence.hpp"
#include "sim/link_usage.hpp"
#include "sim/simulate.hpp"

namespace r1 {

// One step, simulated or measured.
struct RunFacts {
    const Setting& setting;
    const ExecutionGraph& graph;
    const Timeline& timeline;
    const ReplayDag* dag = nullptr;  // that was replayed; none: measured
};

// schema, scenario, graph.
Json report_head(const Scenario& scenario, const ExecutionGraph& graph);

Json graph_json(const ExecutionGraph& graph);

// step, pipeline, layers, overlap, critical_path: what the timeline says. A pipeline rank of
// several lanes has the mean over its ranks.
void add_times(Json& report, const RunFacts& facts);

// How busy links were.
Json network_json(const std::vector<LinkUsage>& usage);

Json memory_json(const Setting& setting, const MemoryPlan& memory);
// Of one step of so many seconds.
Json cost_json(const Setting& setting, double seconds);
Json confidence_json(const std::vector<Confidence>& entries);
// The report's values beside published ones; error: (value / published - 1) in per cent.
Json published_json(const Json& report, const std::vector<Published>& published, bool measured);

}  // namespace r1
