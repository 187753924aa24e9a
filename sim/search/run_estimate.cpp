#include "sim/search/run_estimate.hpp"

#include <algorithm>

#include "model/config/parameters.hpp"

namespace r1 {

namespace {

constexpr double kHour = 3600;
constexpr double kDay = 86'400;

Seconds transfer(Bytes bytes, const std::optional<BytesPerSecond>& rate_per_node, int nodes) {
    return rate_per_node ? bytes / (*rate_per_node * nodes) : Seconds();
}

}  // namespace

RunTerms run_terms(const CapacityPlan& plan, const CandidateCluster& cluster,
                   const Setting& setting) {
    constexpr double kStateBytes = 4 + 2 * 2;  // a parameter's, as the graph's optimizer keeps it
    const Topology& topology = setting.topology;
    const RunPrices& prices = plan.prices;
    const ParameterCounts parameters = count_parameters(setting.scenario.model);
    RunTerms terms;
    terms.gpus = topology.gpus();
    terms.steps = plan.goal.tokens / static_cast<double>(setting.scenario.workload.tokens());
    terms.loads_first = plan.goal.kind == GoalKind::fine_tune;
    terms.usd_per_gpu_hour = cluster.usd_per_gpu_hour;
    terms.usd_per_kwh = prices.usd_per_kwh;
    terms.power_mw = terms.gpus * topology.device.power.value() * prices.pue / 1e6;
    terms.checkpoint = Bytes(static_cast<double>(parameters.total + parameters.mtp) * kStateBytes);
    terms.job.mtbf = mean_time_between_failures(
        prices.failures,
        {topology.gpus(), static_cast<std::int64_t>(topology.nodes) * topology.nic.per_node,
         static_cast<std::int64_t>(setting.fabric.switches.size()), topology.nodes});
    terms.job.checkpoint_write = transfer(terms.checkpoint, prices.write_per_node, topology.nodes);
    terms.job.restart =
        prices.restart + transfer(terms.checkpoint, prices.read_per_node, topology.nodes);
    terms.checkpoint_interval = prices.checkpoint_interval;
    return terms;
}

RunEstimate estimate_run(const RunTerms& terms, Seconds step) {
    RunEstimate run;
    run.step_time_s = step.value();
    const double productive_s = terms.steps * step.value();
    double wall_s = productive_s;
    if (const auto optimal = optimal_checkpoint_interval(terms.job)) {
        // A checkpoint follows a whole step.
        const Seconds interval = std::max(terms.checkpoint_interval.value_or(*optimal), step);
        run.checkpoint_interval = interval;
        wall_s *= wall_over_productive(terms.job, interval);
    }
    wall_s += terms.loads_first ? terms.job.restart.value() : 0;
    run.failures = wall_s / terms.job.mtbf.value();
    run.days = wall_s / kDay;
    run.gpu_hours_productive = terms.gpus * productive_s / kHour;
    run.gpu_hours = terms.gpus * wall_s / kHour;
    run.energy_mwh = terms.power_mw * wall_s / kHour;
    run.cost_usd =
        run.gpu_hours * terms.usd_per_gpu_hour + run.energy_mwh * 1000 * terms.usd_per_kwh;
    run.goodput = wall_s > 0 ? productive_s / wall_s : 1;
    return run;
}

}  // namespace r1
