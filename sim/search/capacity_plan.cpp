#include "sim/search/capacity_plan.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "model/plan/parallel_plan.hpp"
#include "model/routing/routing_spec.hpp"
#include "model/scenario/named_members.hpp"
#include "model/scenario/scenario.hpp"
#include "sim/search/plan_files.hpp"

namespace r1 {

namespace {

constexpr Range kTokens{1, 1e18};
constexpr double kCandidatesMax = 20'000;

// In the order in which candidates are tried: the last changes first.
struct AxisSpec {
    const char* key;
    const char* part;    // of the scenario
    const char* values;  // if the file says nothing; none: the scenario's default
};
constexpr std::array<AxisSpec, 10> kAxes = {
    {{"pipeline_parallel", "plan", "[1, 2, 4, 8, 16]"},
     {"expert_parallel", "plan", "[1, 8, 16, 32, 64]"},
     {"tensor_parallel", "plan", nullptr},
     {"schedule", "plan", R"(["1f1b", "zb1p", "dualpipe"])"},
     {"virtual_stages", "plan", nullptr},
     {"zero_stage", "plan", nullptr},
     {"comm_sms", "plan", nullptr},
     {"recompute", "plan", nullptr},
     {"micro_batch_sequences", "workload", nullptr},
     {"global_batch_sequences", "workload", nullptr}}};

// Whether what is wrong there can be a matter of the candidate.
bool may_be_chosen(const std::string& pointer) {
    const auto below = [&](const std::string& part) {
        return (pointer + "/").starts_with(part + "/");
    };
    return below("/plan") || below("/cluster") || below("/workload/global_batch_sequences") ||
           below("/workload/micro_batch_sequences") || below("/routing/node_limit");
}

class PlanReader {
public:
    // `problems` that are known already: what is said below their places only follows.
    PlanReader(Document document, std::filesystem::path base, std::vector<Diagnostic> problems)
        : document_(std::move(document)), base_(std::move(base)), problems_(std::move(problems)) {}

    CapacityPlan run() && {
        ObjectReader reader(document_, "", diagnostics_);
        if (reader.is_object()) {
            read_members(reader);
            reader.finish();
            check_scenario_members();
        }
        const std::vector<Diagnostic> causes = problems_;
        for (const Diagnostic& problem : diagnostics_.errors()) {
            if (!lies_below(problem.pointer, causes)) {
                problems_.push_back(problem);
            }
        }
        if (!problems_.empty()) {
            throw InputError(std::move(problems_));
        }
        plan_.document = std::move(document_);
        return std::move(plan_);
    }

private:
    void error(const std::string& pointer, const std::string& message) {
        diagnostics_.error(document_.diagnostic(pointer, message));
    }

    void read_members(ObjectReader& reader) {
        reader.accept_header("plan");
        reader.required("name", plan_.name);
        if (auto goal = reader.object("goal", true)) {
            read_goal(*goal);
        }
        if (auto constraints = reader.object("constraints", false)) {
            read_constraints(*constraints);
        }
        int objective = 0;
        reader.optional_choice("objective", {"cost", "time"}, objective);
        plan_.objective = static_cast<Objective>(objective);
        if (auto prices = reader.object("prices", true)) {
            plan_.prices = read_run_prices(document_, "/prices", diagnostics_);
        }
        read_scenario_members(reader);
        if (auto candidates = reader.object("candidates", true)) {
            read_candidates(*candidates);
        }
        if (auto search = reader.object("search", false)) {
            read_search_limits(*search);
            search->finish();
        }
    }

    // What is not given does not contradict what is.
    void read_search_limits(ObjectReader& reader) {
        SearchLimits& limits = plan_.search;
        reader.optional("simulate_min", limits.simulate_min, {0, 1e6});
        reader.optional("simulate_max", limits.simulate_max, {1, 1e6});
        if (!reader.has("simulate_max")) {
            limits.simulate_max = std::max(limits.simulate_max, limits.simulate_min);
        } else if (!reader.has("simulate_min")) {
            limits.simulate_min = std::min(limits.simulate_min, limits.simulate_max);
        } else if (limits.simulate_min > limits.simulate_max) {
            reader.error("simulate_min",
                         fmt::format("is more than simulate_max, {}", limits.simulate_max));
        }
    }

    void read_goal(ObjectReader& reader) {
        int kind = 0;
        reader.required_choice("kind", {"pretrain", "fine_tune", "serve"}, kind);
        if (kind > static_cast<int>(GoalKind::fine_tune)) {
            throw FeatureError(
                "goal 'serve' is not implemented in this version (pretrain and fine_tune are)");
        }
        plan_.goal.kind = static_cast<GoalKind>(kind);
        reader.required("tokens", plan_.goal.tokens, kTokens);
        read_limit(reader, "days", plan_.goal.days);
        reader.finish();
    }

    // Any number: what nobody can meet is an answer.
    static void read_limit(ObjectReader& reader, const char* key, std::optional<double>& limit) {
        reader.accept(key);  // null: no limit
        if (reader.has(key)) {
            reader.optional(key, limit.emplace());
        }
    }

    void read_constraints(ObjectReader& reader) {
        read_limit(reader, "usd", plan_.constraints.usd);
        read_limit(reader, "gpus", plan_.constraints.gpus);
        read_limit(reader, "power_mw", plan_.constraints.power_mw);
        reader.optional("memory", plan_.constraints.memory, {0, 1});
        reader.finish();
    }

    // What all candidates share; check_scenario_members() checks the insides.
    void read_scenario_members(ObjectReader& reader) {
        Json& scenario = plan_.scenario;
        scenario = {{"schema", "r1sim.scenario/1"}, {"name", plan_.name}};
        const Json* model = reader.raw("model");
        if (model == nullptr || model->is_null()) {
            reader.error("", "missing key 'model'");
        } else {
            scenario["model"] = model->is_string()
                                    ? Json(seen_from_here(model->get<std::string>(),
                                                          named_from(document_, "/model", base_)))
                                    : *model;
        }
        for (const char* part : {"workload", "plan", "routing"}) {
            if (auto object = reader.object(part, std::string_view(part) == "workload")) {
                scenario[part] = *document_.find(object->pointer());
                check_chosen_members(*object);
            }
        }
        if (scenario.contains("plan")) {
            check_plan(scenario["plan"], "/plan");
        }
        if (scenario.contains("workload")) {
            Json& workload = scenario["workload"];
            workload["kind"] = workload.value("kind", Json("train"));
            if (workload["kind"] != "train") {
                error("/workload/kind", "pretrain and fine_tune goals plan steps of kind 'train'");
            }
        }
        if (scenario.contains("routing") &&
            scenario["routing"].value("source", Json()) == "captured") {
            error("/routing/source", "what one run recorded does not fit other plans");
            scenario.erase("routing");
        }
        scenario["replay"] = {{"engine", "fluid"}, {"fold", "stage"}};
        if (auto replay = reader.object("replay", false)) {
            if (auto stragglers = replay->object("stragglers", false)) {
                scenario["replay"]["stragglers"] = *document_.find("/replay/stragglers");
            }
            replay->finish();
        }
        scenario["prices"] = {{"usd_per_gpu_hour", plan_.prices.usd_per_gpu_hour},
                              {"pue", plan_.prices.pue}};
        std::int64_t seed = 0;
        reader.optional("seed", seed, kNotNegative);
        scenario["seed"] = seed;
    }

    // Members that a candidate may fit or not: what is no number fits none.
    static void check_chosen_members(ObjectReader& reader) {
        std::int64_t number = 1;
        reader.optional("global_batch_sequences", number, {1, 1e9});
        reader.optional("micro_batch_sequences", number, {1, 1e9});
        reader.optional("node_limit", number, kAtLeastOne);
    }

    // As the scenario's own reader does. What it says of `part` of the members stands at `pointer`
    // in the plan.
    void check_plan(Json members, const std::string& pointer, const std::string& part = "") {
        members["pipeline_parallel"] = members.value("pipeline_parallel", Json(1));
        Diagnostics problems;
        const Document document = Document::from_json(std::move(members), document_.file());
        read_parallel_plan(ObjectReader(document, "", problems));
        for (const Diagnostic& problem : problems.errors()) {
            error(pointer + problem.pointer.substr(part.size()), problem.message);
        }
    }

    // As the scenario's own reader does, with the first candidate, whatever else is wrong there.
    void check_scenario_members() {
        Document scenario = first_scenario();
        if (!lies_below("/model", problems_)) {
            put_in_place(scenario, "/model", base_, problems_, load_model_document);
        }
        Diagnostics found;
        try {
            read_scenario(scenario, found);
        } catch (const FeatureError&) {
            // Of another kind of workload: /workload/kind was reported.
        }
        for (const Diagnostic& problem : found.errors()) {
            // Of the whole: a member that is missing was reported, too.
            if (!problem.pointer.empty() && !may_be_chosen(problem.pointer)) {
                diagnostics_.error(problem);
            }
        }
    }

    // What cannot be read, is left out or has a value that fits; the rest knows its places.
    [[nodiscard]] Document first_scenario() const {
        const Location here{document_.file(), 0, 0};
        Document scenario = Document::from_json(plan_.scenario, document_.file());
        for (const std::string part :
             {"/model", "/workload", "/plan", "/routing", "/replay/stragglers"}) {
            if (scenario.find(part) != nullptr) {
                scenario.graft(part, document_.part(part));
            }
        }
        const auto set_missing = [&](const std::string& pointer, Json value) {
            if (scenario.find(pointer) == nullptr) {
                scenario.set(pointer, std::move(value), here);
            }
        };
        set_missing("/workload", {{"sequence_length", 1}, {"global_batch_sequences", 1}});
        set_missing("/workload/kind", "train");
        if (document_.find("/candidates/global_batch_sequences") != nullptr) {
            set_missing("/workload/global_batch_sequences", 1);
        }
        const CandidateCluster cluster =
            plan_.clusters.empty() ? CandidateCluster{} : plan_.clusters.front();
        const std::int64_t gpus = cluster.gpus.empty() ? 1 : cluster.gpus.front();
        scenario.set(
            "/cluster",
            {{"nodes", gpus / cluster.gpus_per_node}, {"gpus_per_node", cluster.gpus_per_node}},
            here);
        scenario.set("/calibration", Json::object(), here);
        set_missing("/plan", Json::object());
        for (const PlanAxis& axis : plan_.axes) {
            scenario.set(axis.pointer, axis.values.front(), here);
        }
        return scenario;
    }

    void read_candidates(ObjectReader& reader) {
        CandidateCluster defaults;
        defaults.usd_per_gpu_hour = plan_.prices.usd_per_gpu_hour;
        read_gpus_to_try(reader, defaults.gpus);
        const Json* clusters = reader.raw("clusters");
        if (clusters == nullptr || !clusters->is_array() || clusters->empty()) {
            reader.error(clusters == nullptr ? "" : "clusters",
                         "'clusters' must list at least one cluster");
        } else {
            for (std::size_t i = 0; i < clusters->size(); ++i) {
                read_cluster(fmt::format("/candidates/clusters/{}", i), defaults);
            }
        }
        for (const AxisSpec& axis : kAxes) {
            read_axis(reader, axis);
        }
        double count = 0;
        for (const CandidateCluster& cluster : plan_.clusters) {
            count += static_cast<double>(cluster.gpus.size());
        }
        for (const PlanAxis& axis : plan_.axes) {
            count *= static_cast<double>(axis.values.size());
        }
        if (count > kCandidatesMax) {
            error("/candidates",
                  fmt::format("{} candidates are too many: at most {}", count, kCandidatesMax));
        }
        reader.finish();
    }

    void read_cluster(const std::string& pointer, const CandidateCluster& defaults) {
        if (lies_below(pointer + "/cluster", problems_)) {
            return;  // --set reaches into one that could not be loaded
        }
        if (auto cluster =
                read_candidate_cluster(document_, pointer, base_, defaults, diagnostics_)) {
            plan_.clusters.push_back(*std::move(cluster));
        }
    }

    void read_axis(ObjectReader& reader, const AxisSpec& spec) {
        const std::string part = std::string("/") + spec.part;
        const std::string pointer = join_pointer(part, spec.key);
        const Json* given = reader.raw(spec.key);
        PlanAxis axis{pointer, {}};
        if (given != nullptr && !given->is_null()) {
            if (!given->is_array() || given->empty()) {
                reader.error(spec.key, "must be a list of values to try");
                return;
            }
            axis.values.assign(given->begin(), given->end());
            for (std::size_t i = 0; i < axis.values.size(); ++i) {
                check_value(spec, axis.values[i], fmt::format("/candidates/{}/{}", spec.key, i));
            }
        } else if (spec.values != nullptr && document_.find(pointer) == nullptr) {
            const Json values = Json::parse(spec.values);
            axis.values.assign(values.begin(), values.end());
        } else {
            return;
        }
        plan_.axes.push_back(std::move(axis));
    }

    void check_value(const AxisSpec& spec, const Json& value, const std::string& pointer) {
        if (value.is_null()) {
            error(pointer, "expects a value to try, found null");
            return;
        }
        if (std::string_view(spec.part) == "plan") {
            check_plan({{spec.key, value}}, pointer, join_pointer("", spec.key));
            return;
        }
        Diagnostics problems;
        const Document document = Document::from_json({{spec.key, value}}, document_.file());
        std::int64_t sequences = 1;
        ObjectReader(document, "", problems).required(spec.key, sequences, {1, 1e9});
        for (const Diagnostic& problem : problems.errors()) {
            error(pointer, problem.message);
        }
    }

    Document document_;
    std::filesystem::path base_;
    std::vector<Diagnostic> problems_;
    Diagnostics diagnostics_;
    CapacityPlan plan_;
};

}  // namespace

std::string_view name(GoalKind kind) {
    return kind == GoalKind::pretrain ? "pretrain" : "fine_tune";
}
std::string_view name(Objective objective) {
    return objective == Objective::cost ? "cost" : "time";
}

CapacityPlan load_capacity_plan(const std::filesystem::path& file,
                                const std::vector<Override>& overrides) {
    std::vector<Diagnostic> problems;
    Document document =
        complete_plan_document(Document::from_file(file), file.parent_path(), overrides, problems);
    return PlanReader(std::move(document), file.parent_path(), std::move(problems)).run();
}

}  // namespace r1
