#include "sim/search/candidates.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace r1 {

namespace {

Json base_scenario(const CapacityPlan& plan, const CandidateCluster& cluster) {
    Json scenario = plan.scenario;
    scenario["cluster"] = cluster.topology;
    scenario["calibration"] = cluster.calibration;
    if (!scenario.contains("plan")) {
        scenario["plan"] = Json::object();
    }
    scenario["prices"]["usd_per_gpu_hour"] = cluster.usd_per_gpu_hour;
    return scenario;
}

std::string in_a_sentence(const std::vector<Diagnostic>& problems) {
    std::string text;
    for (const Diagnostic& problem : problems) {
        text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", problem.pointer, problem.message);
    }
    return text;
}

}  // namespace

std::vector<Candidate> enumerate_candidates(const CapacityPlan& plan) {
    std::vector<Candidate> candidates;
    for (std::size_t c = 0; c < plan.clusters.size(); ++c) {
        for (const std::int64_t gpus : plan.clusters[c].gpus) {
            candidates.push_back({c, gpus, {}});
        }
    }
    for (const PlanAxis& axis : plan.axes) {
        std::vector<Candidate> longer;
        for (const Candidate& candidate : candidates) {
            for (const Json& value : axis.values) {
                longer.push_back(candidate);
                longer.back().choices.emplace_back(axis.pointer, value);
            }
        }
        candidates = std::move(longer);
    }
    return candidates;
}

CandidateScenarios::CandidateScenarios(const CapacityPlan& plan) : plan_(plan) {
    for (const Candidate& candidate : enumerate_candidates(plan)) {
        if (candidate.cluster == bases_.size()) {  // the first of this cluster
            // Names in it are as the working directory sees them.
            bases_.push_back(load_scenario(
                Document::from_json(scenario(candidate), plan.document.file()), {}, {}));
        }
    }
}

Json CandidateScenarios::scenario(const Candidate& candidate) const {
    const CandidateCluster& cluster = plan_.clusters[candidate.cluster];
    Json scenario = base_scenario(plan_, cluster);
    scenario["cluster"]["nodes"] = candidate.gpus / cluster.gpus_per_node;
    for (const auto& [pointer, value] : candidate.choices) {
        scenario[Json::json_pointer(pointer)] = value;
    }
    return scenario;
}

std::optional<Setting> CandidateScenarios::setting(const Candidate& candidate,
                                                   std::string& why_not) const {
    if (!has_whole_nodes(candidate)) {
        why_not = fmt::format("{} GPUs are no whole nodes of {}", candidate.gpus,
                              plan_.clusters[candidate.cluster].gpus_per_node);
        return std::nullopt;
    }
    try {
        std::vector<std::string> notes;
        return read_setting(document(candidate), notes);
    } catch (const InputError& error) {
        why_not = in_a_sentence(error.diagnostics());
        return std::nullopt;
    }
}

bool CandidateScenarios::has_setting(const Candidate& candidate) const {
    if (!has_whole_nodes(candidate)) {
        return false;
    }
    Diagnostics problems;
    read_scenario(document(candidate), problems);  // without cluster and calibration
    std::string why_not;
    return problems.ok() && setting(candidate, why_not);
}

bool CandidateScenarios::has_whole_nodes(const Candidate& candidate) const {
    return candidate.gpus % plan_.clusters[candidate.cluster].gpus_per_node == 0;
}

Document CandidateScenarios::document(const Candidate& candidate) const {
    Document document = bases_[candidate.cluster];
    const Location place{document.file(), 0, 0};
    document.set("/cluster/nodes",
                 Json(candidate.gpus / plan_.clusters[candidate.cluster].gpus_per_node), place);
    for (const auto& [pointer, value] : candidate.choices) {
        document.set(pointer, value, place);
    }
    return document;
}

}  // namespace r1
