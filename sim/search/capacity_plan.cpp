#include "sim/search/capacity_plan.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "model/plan/parallel_plan.hpp"
#include "model/routing/routing_spec.hpp"
#include "sim/cost/calibration.hpp"
#include "sim/hardware/presets.hpp"
#include "sim/hardware/topology.hpp"

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

// A file that the plan names, as the working directory sees it; presets stay.
std::string seen_from_here(const std::string& name, const std::filesystem::path& base) {
    const bool is_file = name.find('/') != std::string::npos || name.ends_with(".json");
    const std::filesystem::path path(name);
    return is_file && !path.is_absolute() ? (base / path).lexically_normal().string() : name;
}

class PlanReader {
public:
    PlanReader(Document document, std::filesystem::path base)
        : document_(std::move(document)), base_(std::move(base)) {}

    CapacityPlan run() && {
        ObjectReader reader(document_, "", diagnostics_);
        if (reader.is_object()) {
            read_members(reader);
            reader.finish();
        }
        diagnostics_.throw_if_errors();
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

    // What all candidates share. Its own reader checks the insides, once it is a scenario.
    void read_scenario_members(ObjectReader& reader) {
        Json& scenario = plan_.scenario;
        scenario = {{"schema", "r1sim.scenario/1"}, {"name", plan_.name}};
        const Json* model = reader.raw("model");
        if (model == nullptr || model->is_null()) {
            reader.error("", "missing key 'model'");
        } else {
            scenario["model"] = model->is_string()
                                    ? Json(seen_from_here(model->get<std::string>(), base_))
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

    void read_candidates(ObjectReader& reader) {
        std::vector<std::int64_t> gpus;
        reader.optional("gpus", gpus, {1, 1 << 24});
        const Json* clusters = reader.raw("clusters");
        if (clusters == nullptr || !clusters->is_array() || clusters->empty()) {
            reader.error(clusters == nullptr ? "" : "clusters",
                         "'clusters' must list at least one cluster");
        } else {
            for (std::size_t i = 0; i < clusters->size(); ++i) {
                read_cluster(fmt::format("/candidates/clusters/{}", i), gpus);
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

    // A name, or an object with more than that.
    void read_cluster(const std::string& pointer, const std::vector<std::int64_t>& gpus) {
        CandidateCluster cluster;
        cluster.usd_per_gpu_hour = plan_.prices.usd_per_gpu_hour;
        cluster.gpus = gpus;
        std::string topology_pointer = pointer;
        if (!document_.find(pointer)->is_string()) {
            ObjectReader reader(document_, pointer, diagnostics_);
            if (!reader.is_object()) {
                return;
            }
            topology_pointer = reader.pointer("cluster");
            reader.accept("cluster");
            if (!reader.has("cluster")) {
                reader.error("", "missing key 'cluster'");
            }
            reader.optional("calibration", cluster.calibration);
            reader.optional("usd_per_gpu_hour", cluster.usd_per_gpu_hour, kUsd);
            reader.optional("gpus", cluster.gpus, {1, 1 << 24});
            reader.finish();
        }
        const Json* named = document_.find(topology_pointer);
        if (named == nullptr) {
            return;
        }
        try {
            load_cluster(*named, topology_pointer, cluster);
            plan_.clusters.push_back(std::move(cluster));
        } catch (const InputError& problems) {
            error(topology_pointer, "cannot be loaded:");
            for (const Diagnostic& problem : problems.diagnostics()) {
                diagnostics_.error(problem);
            }
        }
    }

    void load_cluster(const Json& named, const std::string& pointer, CandidateCluster& cluster) {
        Diagnostics problems;
        Topology topology;
        if (named.is_string()) {
            const Document document = load_topology(named.get<std::string>(), base_);
            topology = read_topology(document, "", problems);
            cluster.topology = document.root();
        } else {
            graft_device(document_, pointer, base_);
            topology = read_topology(document_, pointer, problems);
            cluster.topology = *document_.find(pointer);
        }
        problems.throw_if_errors();
        cluster.name = topology.name;
        cluster.gpus_per_node = topology.gpus_per_node;
        if (cluster.gpus.empty()) {
            cluster.gpus = {topology.gpus()};
        }
        if (cluster.calibration.empty()) {
            cluster.calibration = topology.device.name + "_published";
        }
        const Document calibration = load_calibration(cluster.calibration, base_);
        read_calibration(calibration, "", problems);
        problems.throw_if_errors();
        cluster.calibration = seen_from_here(cluster.calibration, base_);
    }

    Document document_;
    std::filesystem::path base_;
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
    Document document = Document::from_file(file);
    std::vector<Diagnostic> problems;
    const auto apply = [&](bool whole_prices) {
        for (const Override& override : overrides) {
            if ((override.pointer == "/prices") == whole_prices &&
                !document.set(override.pointer, override.value, {"--set", 0, 0})) {
                problems.push_back(
                    {{"--set", 0, 0},
                     override.pointer,
                     "runs through a value that is not an object, or past the end of an array",
                     ""});
            }
        }
    };
    // As for the members of a scenario: the file, then fields of it.
    apply(true);
    if (const Json* prices = document.find("/prices"); prices != nullptr && prices->is_string()) {
        document.graft("/prices", load_run_prices(prices->get<std::string>(), file.parent_path()));
    }
    apply(false);
    if (!problems.empty()) {
        throw InputError(std::move(problems));
    }
    return PlanReader(std::move(document), file.parent_path()).run();
}

}  // namespace r1
