#include "tools/report/plan_answer.hpp"

#include <algorithm>

#include "model/base/json.hpp"
#include "tools/report/report_sections.hpp"

namespace r1 {

namespace {

// Of a candidate, by the names that plan axes have.
Json plan_json(const CandidateAnswer& answer, const Json& scenario) {
    Json plan = scenario.at("plan");
    if (answer.plan) {
        plan["data_parallel"] = answer.plan->data_parallel;
        plan["schedule"] = name(answer.plan->schedule);
    }
    const Json& workload = scenario.at("workload");
    plan["micro_batch_sequences"] = workload.value("micro_batch_sequences", Json(1));
    plan["global_batch_sequences"] = workload.value("global_batch_sequences", Json());
    return plan;
}

Json candidate_memory_json(const CandidateMemory& memory) {
    const RankMemory& rank = memory.largest;
    return {{"weights", rank.weights.value()},
            {"gradients", rank.gradients.value()},
            {"optimizer", rank.optimizer.value()},
            {"activations_peak", rank.activations_peak.value()},
            {"total", rank.total().value()},
            {"capacity", memory.capacity.value()},
            {"fits", rank.total() <= memory.capacity}};
}

Json bottleneck_json(const SimulatedStep& step, double step_time_s) {
    const auto largest =
        std::max_element(step.path_resources.begin(), step.path_resources.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (largest == step.path_resources.end()) {
        return {};
    }
    return {{"resource", largest->first},
            {"share", largest->second / step_time_s},
            {"by_resource", step.path_resources}};
}

Json bound_json(const RunEstimate& bound) {
    return {{"step_time_s", bound.step_time_s},
            {"days", finite_or_null(bound.days)},
            {"gpu_hours", finite_or_null(bound.gpu_hours)},
            {"cost_usd", finite_or_null(bound.cost_usd)}};
}

Json failures_json(const RunTerms& terms, const RunEstimate& run) {
    const auto hours = [](Seconds time) { return finite_or_null(time.value() / 3600); };
    return {{"mtbf_hours", hours(terms.job.mtbf)},
            {"expected", finite_or_null(run.failures)},
            {"checkpoint_bytes", terms.checkpoint.value()},
            {"checkpoint_write_s", terms.job.checkpoint_write.value()},
            {"checkpoint_interval_s",
             run.checkpoint_interval ? Json(run.checkpoint_interval->value()) : Json()},
            {"restart_s", terms.job.restart.value()},
            {"goodput", run.goodput}};
}

Json candidate_json(const CapacityPlan& plan, const CandidateScenarios& scenarios,
                    const CandidateAnswer& answer) {
    const Json scenario = scenarios.scenario(answer.candidate);
    const RunEstimate run = answer.run.value_or(RunEstimate());
    const auto of_run = [&](double value) { return answer.run ? finite_or_null(value) : Json(); };
    return {{"cluster", plan.clusters[answer.candidate.cluster].name},
            {"cluster_index", answer.candidate.cluster},
            {"gpus", answer.candidate.gpus},
            {"plan", plan_json(answer, scenario)},
            {"feasible", answer.feasible ? Json(*answer.feasible) : Json()},
            {"why_not", answer.why_not.empty() ? Json() : Json(answer.why_not)},
            {"step_time_s", of_run(run.step_time_s)},
            {"days", of_run(run.days)},
            {"gpu_hours_productive", of_run(run.gpu_hours_productive)},
            {"gpu_hours", of_run(run.gpu_hours)},
            {"cost_usd", of_run(run.cost_usd)},
            {"energy_mwh", of_run(run.energy_mwh)},
            {"power_mw", answer.terms ? Json(answer.terms->power_mw) : Json()},
            {"memory", answer.memory ? candidate_memory_json(*answer.memory) : Json()},
            {"bottleneck", answer.step ? bottleneck_json(*answer.step, run.step_time_s) : Json()},
            {"confidence", answer.step ? confidence_json(answer.step->confidence) : Json()},
            {"bound", answer.bound ? bound_json(*answer.bound) : Json()},
            {"failures", answer.run ? failures_json(*answer.terms, run) : Json()},
            {"warnings", answer.step ? Json(answer.step->warnings) : Json()},
            {"scenario", answer.run ? scenario : Json()}};
}

// What a tenth more of each resource would be worth to the answer.
Json upgrades_json(const CandidateAnswer& answer) {
    Json list = Json::array();
    for (const Sensitivity& each : answer.step->sensitivity) {
        const RunEstimate faster = estimate_run(*answer.terms, from_ps(each.faster.predicted));
        list.push_back({{"resource", each.resource},
                        {"step_time_s", faster.step_time_s},
                        {"days_saved", answer.run->days - faster.days},
                        {"usd_saved", answer.run->cost_usd - faster.cost_usd}});
    }
    return list;
}

Json nearest_json(const std::vector<NearestAnswer>& nearest) {
    Json list = Json::array();
    for (const NearestAnswer& each : nearest) {
        Json changes = Json::array();
        for (const NeededChange& change : each.changes) {
            changes.push_back({{"constraint", change.constraint},
                               {"given", change.given},
                               {"needed", finite_or_null(change.needed)}});
        }
        list.push_back({{"candidate", each.candidate}, {"changes", changes}});
    }
    return list;
}

Json limit_json(const std::optional<double>& limit) { return limit ? Json(*limit) : Json(); }

}  // namespace

Json plan_answer_json(const CapacityPlan& plan, const CandidateScenarios& scenarios,
                      const SearchResult& result) {
    Json candidates = Json::array();
    for (const CandidateAnswer& answer : result.candidates) {
        candidates.push_back(candidate_json(plan, scenarios, answer));
    }
    return {
        {"schema", "r1sim.plan_answer/1"},
        {"name", plan.name},
        {"goal",
         {{"kind", name(plan.goal.kind)},
          {"tokens", plan.goal.tokens},
          {"days", limit_json(plan.goal.days)}}},
        {"constraints",
         {{"usd", limit_json(plan.constraints.usd)},
          {"gpus", limit_json(plan.constraints.gpus)},
          {"power_mw", limit_json(plan.constraints.power_mw)},
          {"memory", plan.constraints.memory}}},
        {"objective", name(plan.objective)},
        {"prices", *plan.document.find("/prices")},
        {"feasible", result.feasible},
        {"best", result.feasible ? Json(0) : Json()},
        {"upgrades", result.feasible ? upgrades_json(result.candidates.front()) : Json::array()},
        {"nearest", nearest_json(result.nearest)},
        {"search",
         {{"candidates", result.candidates.size()},
          {"bounded", result.bounded},
          {"simulated", result.simulated},
          {"proven", result.proven}}},
        {"candidates", candidates}};
}

}  // namespace r1
