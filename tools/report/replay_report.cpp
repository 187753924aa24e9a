#include "tools/report/replay_report.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "model/timeline/spans.hpp"
#include "tools/report/report_sections.hpp"

namespace r1 {

namespace {

// When a rank does what.
struct RankSpans {
    std::vector<Span> computing;
    std::vector<Span> communicating;
    TimePs end = 0;
};

std::vector<RankSpans> rank_spans(const ChakraJob& job, const Timeline& timeline) {
    std::vector<RankSpans> ranks(job.ranks.size());
    for (const Interval& interval : timeline.intervals) {
        RankSpans& rank = ranks[interval.op.lane];
        rank.end = std::max(rank.end, interval.end);
        switch (job.ranks[interval.op.lane][interval.op.item].work) {
            case ChakraWork::delay: break;
            case ChakraWork::compute:
                rank.computing.emplace_back(interval.start, interval.end);
                break;
            default: rank.communicating.emplace_back(interval.start, interval.end);
        }
    }
    for (RankSpans& rank : ranks) {
        unite(rank.computing);
        unite(rank.communicating);
    }
    return ranks;
}

Json ranks_json(const ChakraJob& job, const Timeline& timeline) {
    Json ranks = Json::array();
    const std::vector<RankSpans> spans = rank_spans(job, timeline);
    for (std::size_t i = 0; i < spans.size(); ++i) {
        const TimePs communication = length(spans[i].communicating);
        const TimePs hidden = common_length(spans[i].computing, spans[i].communicating);
        ranks.push_back({{"rank", i},
                         {"nodes", job.ranks[i].size()},
                         {"end_s", from_ps(spans[i].end).value()},
                         {"compute_s", from_ps(length(spans[i].computing)).value()},
                         {"communication_s", from_ps(communication).value()},
                         {"exposed_communication_s", from_ps(communication - hidden).value()}});
    }
    return ranks;
}

}  // namespace

Json replay_json(const ReplayRun& run, const ChakraJob& job, const Topology& topology,
                 const ReplayDag& dag, const Timeline& timeline) {
    return {{"schema", "r1sim.replay/1"},
            {"traces",
             {{"path", run.traces},
              {"ranks", job.ranks.size()},
              {"nodes", job.nodes()},
              {"collectives", job.collectives.size()},
              {"missing_dependencies", job.missing_dependencies}}},
            {"cluster",
             {{"name", topology.name},
              {"nodes", topology.nodes},
              {"gpus_per_node", topology.gpus_per_node}}},
            {"step", {{"time_s", from_ps(timeline.makespan()).value()}}},
            {"ranks", ranks_json(job, timeline)},
            {"network", network_json(link_usage(dag, timeline))},
            {"run_info",
             {{"engine", run.engine},
              {"version", run.version},
              {"activities", run.counts.activities},
              {"flows", run.counts.flows}}}};
}

std::string replay_table(const Json& report) {
    const Json& traces = report["traces"];
    std::string text = fmt::format(
        "{}: {} ranks, {} nodes, on {}\nstep  {:.6f} ms\n\n{:>6} {:>14} {:>14} {:>14} {:>14}\n",
        traces["path"].get<std::string>(), traces["ranks"].get<std::int64_t>(),
        traces["nodes"].get<std::int64_t>(), report["cluster"]["name"].get<std::string>(),
        report["step"]["time_s"].get<double>() * 1e3, "rank", "end ms", "compute ms",
        "communication", "exposed");
    constexpr std::size_t kRowsMax = 16;
    const Json& ranks = report["ranks"];
    for (std::size_t i = 0; i < std::min(ranks.size(), kRowsMax); ++i) {
        const auto ms = [&](const char* key) { return ranks[i][key].get<double>() * 1e3; };
        text += fmt::format("{:>6} {:>14.6f} {:>14.6f} {:>14.6f} {:>14.6f}\n",
                            ranks[i]["rank"].get<std::int64_t>(), ms("end_s"), ms("compute_s"),
                            ms("communication_s"), ms("exposed_communication_s"));
    }
    if (ranks.size() > kRowsMax) {
        text += fmt::format("   … {} more ranks (--json)\n", ranks.size() - kRowsMax);
    }
    return text;
}

}  // namespace r1
