#include "tools/report/measured_report.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "model/routing/load_spread.hpp"
#include "model/timeline/measured.hpp"
#include "tools/report/over_time.hpp"
#include "tools/report/report_sections.hpp"
#include "tools/report/routing_layers.hpp"

namespace r1 {

namespace {

constexpr std::size_t kMeanOfLosses = 200;
constexpr std::size_t kMeanOfLoads = 100;

Json finite(const std::optional<double>& value) { return value ? finite_or_null(*value) : Json(); }

double mean_of(std::vector<double>::const_iterator begin, std::vector<double>::const_iterator end) {
    return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
}

Json iterations_json(std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    const std::size_t middle = seconds.size() / 2;
    const double median =
        seconds.size() % 2 == 1 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
    return {{"count", seconds.size()},
            {"time_s",
             {{"median", median},
              {"min", seconds.front()},
              {"max", seconds.back()},
              {"mean", mean_of(seconds.begin(), seconds.end())}}}};
}

Json losses_json(const std::vector<double>& loss) {
    if (loss.empty()) {
        return {};
    }
    const std::size_t count = std::min(loss.size(), kMeanOfLosses);
    return {{"first", finite_or_null(loss.front())},
            {"last", finite_or_null(loss.back())},
            {"mean_last_200",
             finite_or_null(mean_of(loss.end() - static_cast<std::ptrdiff_t>(count), loss.end()))}};
}

std::int64_t trained_tokens(const MeasuredRun& run) {
    return static_cast<std::int64_t>(run.training.loss.size()) *
           run.setting.scenario.workload.tokens();
}

Json training_json(const MeasuredRun& run) {
    const TrainingOutcome& training = run.training;
    return {{"steps", training.loss.size()},
            {"tokens", trained_tokens(run)},
            {"loss", losses_json(training.loss)},
            {"mtp_loss", losses_json(training.mtp_loss)},
            {"held_out_loss", finite(training.held_out_loss)},
            {"byte_model_loss", finite(training.byte_model_loss)},
            {"learning_rate", training.learning_rate},
            {"gradient_norm", finite(training.gradient_norm)}};
}

using Loads = std::vector<std::vector<std::int32_t>>;  // by layer and expert

// Mean over the expert layers of some steps.
LoadSpread mean_spread(const std::vector<Loads>& steps) {
    LoadSpread sum{0, 0};
    int count = 0;
    for (const Loads& step : steps) {
        for (const std::vector<std::int32_t>& layer : step) {
            if (std::any_of(layer.begin(), layer.end(), [](std::int32_t n) { return n > 0; })) {
                const LoadSpread spread =
                    load_spread(std::vector<double>(layer.begin(), layer.end()));
                sum.max_over_mean += spread.max_over_mean;
                sum.gini += spread.gini;
                ++count;
            }
        }
    }
    return count > 0 ? LoadSpread{sum.max_over_mean / count, sum.gini / count} : LoadSpread{};
}

Loads summed(const std::vector<Loads>& steps) {
    Loads sum;
    for (const Loads& step : steps) {
        sum.resize(std::max(sum.size(), step.size()));
        for (std::size_t layer = 0; layer < step.size(); ++layer) {
            sum[layer].resize(std::max(sum[layer].size(), step[layer].size()));
            for (std::size_t expert = 0; expert < step[layer].size(); ++expert) {
                sum[layer][expert] += step[layer][expert];
            }
        }
    }
    return sum;
}

std::vector<Loads> last_steps(const std::vector<Loads>& all) {
    const auto count = static_cast<std::ptrdiff_t>(std::min(all.size(), kMeanOfLoads));
    return {all.end() - count, all.end()};
}

Json expert_load_json(const std::vector<Loads>& all) {
    const std::vector<Loads> steps = last_steps(all);
    const LoadSpread each = mean_spread(steps);
    const LoadSpread together = mean_spread({summed(steps)});
    return {{"max_over_mean", each.max_over_mean},
            {"gini", each.gini},
            {"of_sum", {{"max_over_mean", together.max_over_mean}, {"gini", together.gini}}}};
}

// Which share of the bytes of dispatch and combine is a forward pass's, and how often a token goes
// through one: the counters know neither.
struct ExchangeShape {
    double forward_bytes = 0;  // of one copy of each token
    double all_bytes = 0;
    double token_passes = 0;  // tokens x expert layers, forward
};

ExchangeShape exchange_shape(const ExecutionGraph& graph) {
    ExchangeShape shape;
    for (const RankProgram& program : graph.programs()) {
        for (const Item& item : program.items) {
            for (const Op& op : graph.chunk(item.chunk).ops) {
                const CommOp* comm = op.comm();
                if (comm == nullptr || (comm->collective != Collective::dispatch &&
                                        comm->collective != Collective::combine)) {
                    continue;
                }
                const auto tokens =
                    static_cast<double>(comm->tokens * graph.instances().data_parallel);
                const double bytes = tokens * comm->payload_bytes.constant;
                shape.all_bytes += bytes;
                if (op.phase == Phase::forward) {
                    shape.forward_bytes += bytes;
                    shape.token_passes += comm->collective == Collective::dispatch ? tokens : 0;
                }
            }
        }
    }
    return shape;
}

Json routing_json(const MeasuredRun& run) {
    const ExchangeShape shape = exchange_shape(run.graph);
    const auto per_token = [&](std::uint64_t TrafficBytes::*link) {
        const auto bytes = static_cast<double>(run.traffic[MessageKind::dispatch].*link +
                                               run.traffic[MessageKind::combine].*link);
        return shape.token_passes > 0 && shape.all_bytes > 0
                   ? bytes * shape.forward_bytes / shape.all_bytes / shape.token_passes
                   : 0;
    };
    return {{"nodes_per_token_mean", run.routing.nodes_per_token_mean},
            {"nodes_per_token_max", run.routing.nodes_per_token_max},
            {"expert_load", expert_load_json(run.routing.expert_load)},
            {"ib_bytes_per_token", per_token(&TrafficBytes::infiniband)},
            {"nvlink_bytes_per_token", per_token(&TrafficBytes::nvlink)},
            {"layers", routing_layers_json(summed(last_steps(run.routing.expert_load)))}};
}

struct LinkCount {
    Json by_kind = Json::object();
    std::uint64_t sum = 0;
};

LinkCount count_of(const Traffic& traffic, std::uint64_t TrafficBytes::*link) {
    const std::pair<const char*, MessageKind> kinds[] = {{"pipeline", MessageKind::pipeline},
                                                         {"dispatch", MessageKind::dispatch},
                                                         {"combine", MessageKind::combine},
                                                         {"notify", MessageKind::notify},
                                                         {"collective", MessageKind::collective}};
    LinkCount count;
    for (const auto& [key, message] : kinds) {
        count.by_kind[key] = traffic[message].*link;
        count.sum += traffic[message].*link;
    }
    return count;
}

Json link_json(const char* id, const char* kind, const MeasuredRun& run,
               std::uint64_t TrafficBytes::*link) {
    const LinkCount sent = count_of(run.traffic, link);
    return {{"id", id},
            {"kind", kind},
            {"mean_utilisation", Json()},
            {"peak_utilisation", Json()},
            {"bytes", sent.sum},
            {"bytes_by_kind", sent.by_kind},
            {"graph_bytes_by_kind",
             run.graph_traffic ? count_of(*run.graph_traffic, link).by_kind : Json()}};
}

Json network_json(const MeasuredRun& run) {
    return {{"links",
             {link_json("infiniband", "nic", run, &TrafficBytes::infiniband),
              link_json("nvlink", "nvlink", run, &TrafficBytes::nvlink)}},
            {"hottest", Json()}};
}

Json device_memory_json(const RunInfo& info) {
    if (!info.device_planned_bytes || !info.device_peak_bytes) {
        return nullptr;
    }
    return {{"planned_bytes", *info.device_planned_bytes}, {"peak_bytes", *info.device_peak_bytes}};
}

Json run_info_json(const MeasuredRun& run) {
    const RunInfo& info = run.info;
    const auto steps = static_cast<double>(info.steps);
    const auto tokens = static_cast<double>(run.setting.scenario.workload.tokens());
    return {{"measured", true},
            {"device", info.device},
            {"ranks", run.graph.instances().ranks()},
            {"ranks_per_node", info.ranks_per_node},
            {"transport", info.transport},
            {"implementations", implementations_json(run.graph, info.device, info.transport)},
            {"wall_s", info.wall_s},
            {"steps_per_s", steps / info.wall_s},
            {"tokens_per_s", tokens * steps / info.wall_s},
            {"peak_memory_bytes", info.peak_memory_bytes},
            {"device_memory", device_memory_json(info)},
            {"version", info.version}};
}

}  // namespace

Json implementations_json(const ExecutionGraph& graph, const std::string& device,
                          const std::string& transport) {
    Json implementations = Json::object();
    for (const ChunkTemplate& chunk : graph.templates()) {
        for (const Op& op : chunk.ops) {
            implementations[std::string(kind_name(op))] = op.comm() == nullptr ? device : transport;
        }
    }
    return implementations;
}

Json make_measured_report(const MeasuredRun& run) {
    Timeline timeline = one_iteration(run.timeline, 0);
    trim_receives(run.graph, timeline);
    const Scenario& scenario = run.setting.scenario;
    Json report = report_head(scenario, run.graph);
    add_times(report, {run.setting, run.graph, timeline});
    if (!run.iteration_s.empty()) {
        report["step"]["iterations"] = iterations_json(run.iteration_s);
    }
    report["network"] = network_json(run);
    add_over_time(report, run.graph, timeline, {});
    report["cost"] = cost_json(run.setting, report["step"]["time_s"].get<double>());
    report["training"] = training_json(run);
    report["routing"] = routing_json(run);
    report["memory"] = memory_json(run.setting, run.memory);
    report["confidence"] =
        confidence_json({{"run", "measured", std::nullopt,
                          fmt::format("this run: {} ranks on {}, {}", run.graph.instances().ranks(),
                                      run.info.device, run.info.transport)}});
    report["published"] = published_json(report, scenario.published, true);
    report["warnings"] = run.warnings;
    report["run_info"] = run_info_json(run);
    return report;
}

}  // namespace r1
