#include "model/scenario/scenario.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace r1 {

namespace {

constexpr std::int64_t kMicroBatchTokensMax = 1 << 28;

// A replay holds some 30 activities of 300 bytes for each of these: 3 GB, 45 s. The largest
// published jobs have some 10^4.
constexpr std::int64_t kLayerPassesMax = 300'000;

const std::vector<std::string>& workload_kinds() {
    static const std::vector<std::string> kinds = {
        "train", "prefill", "sft", "grpo", "distill", "decode", "serve", "expert_all_to_all"};
    return kinds;
}

void read_workload(ObjectReader reader, Workload& workload) {
    int kind = 0;
    reader.required_choice("kind", workload_kinds(), kind);
    if (kind > static_cast<int>(WorkloadKind::prefill)) {
        throw FeatureError("workload kind '" + workload_kinds()[static_cast<std::size_t>(kind)] +
                           "' is not implemented in this version (train and prefill are)");
    }
    workload.kind = static_cast<WorkloadKind>(kind);
    reader.required("sequence_length", workload.sequence_length, {1, 1 << 24});
    reader.required("global_batch_sequences", workload.global_batch_sequences, {1, 1e9});
    reader.optional("micro_batch_sequences", workload.micro_batch_sequences, {1, 1 << 20});
    if (workload.micro_batch_sequences * workload.sequence_length > kMicroBatchTokensMax) {
        reader.error("micro_batch_sequences",
                     fmt::format("more than {} tokens in a micro-batch", kMicroBatchTokensMax));
    }
    if (auto precision = reader.object("precision", false)) {
        workload.precision = read_precision(*precision);
    }
    reader.finish();
}

// A forward pass runs in the precision of the model's weights unless told otherwise.
void default_precision(const Document& document, Scenario& scenario) {
    if (scenario.workload.kind != WorkloadKind::prefill) {
        return;
    }
    Precision& precision = scenario.workload.precision;
    if (document.find("/workload/precision/gemm") == nullptr) {
        precision.gemm = scenario.model.fp8_weights ? DType::e4m3 : DType::bf16;
    }
    if (document.find("/workload/precision/dispatch") == nullptr) {
        precision.dispatch = precision.gemm;
    }
}

void read_routing(ObjectReader reader, RoutingSpec& routing) {
    int source = 0;
    reader.optional_choice("source", {"balanced"}, source);
    reader.optional("node_limit", routing.node_limit, kAtLeastOne);
    reader.finish();
}

void read_replay(ObjectReader reader, ReplaySpec& replay) {
    int engine = static_cast<int>(replay.engine);
    reader.optional_choice("engine", {"simgrid", "fluid", "both"}, engine);
    replay.engine = static_cast<Engine>(engine);
    int fold = static_cast<int>(replay.fold);
    reader.optional_choice("fold", {"stage", "ep_group", "none"}, fold);
    replay.fold = static_cast<Folding>(fold);
    reader.finish();
}

void read_published(ObjectReader& reader, std::vector<Published>& published) {
    for (ObjectReader& entry : reader.objects("published", false)) {
        Published item;
        entry.required("metric", item.metric);
        entry.required("value", item.value);
        entry.required("source", item.source);
        entry.finish();
        published.push_back(item);
    }
}

void read_prices(ObjectReader reader, Prices& prices) {
    reader.optional("usd_per_gpu_hour", prices.usd_per_gpu_hour, kNotNegative);
    reader.optional("pue", prices.pue, {1});
    reader.finish();
}

// Checks that need more than one part of the scenario.
class CrossChecks {
public:
    CrossChecks(const Document& document, Diagnostics& diagnostics, Scenario& scenario)
        : document_(document), diagnostics_(diagnostics), s_(scenario) {}

    void run() {
        spread_over_gpus();
        experts();
        batch();
        size();
        schedule();
        layers();
        routing();
    }

private:
    void error(const std::string& pointer, const std::string& message) {
        diagnostics_.error(document_.diagnostic(pointer, message));
    }

    void spread_over_gpus() {
        ParallelPlan& plan = s_.plan;
        if (plan.tensor_parallel > 1) {
            error("/plan/tensor_parallel", "tensor parallelism is not implemented in this version");
            plan.tensor_parallel = 1;
        }
        const std::int64_t gpus = s_.cluster.gpus();
        const std::int64_t pipeline = plan.pipeline_parallel;
        if (plan.data_parallel == 0) {
            if (pipeline > gpus) {
                error("/plan/pipeline_parallel",
                      fmt::format("{} ranks do not fit on {} GPUs", pipeline, gpus));
            } else if (gpus % pipeline != 0) {
                error("/plan/pipeline_parallel",
                      fmt::format("does not divide the {} GPUs of the cluster; set data_parallel "
                                  "to leave some idle",
                                  gpus));
            }
            plan.data_parallel = static_cast<int>(std::max<std::int64_t>(1, gpus / pipeline));
        } else if (s_.ranks() > gpus) {
            error("/plan/data_parallel",
                  fmt::format("{} x {} = {} ranks do not fit on {} GPUs", pipeline,
                              plan.data_parallel, s_.ranks(), gpus));
        }
    }

    void experts() {
        const ParallelPlan& plan = s_.plan;
        const std::int64_t ep = plan.expert_parallel;
        if (plan.data_parallel % ep != 0) {
            error("/plan/expert_parallel",
                  fmt::format("{} does not divide data_parallel {}", ep, plan.data_parallel));
        }
        const std::int64_t copies = s_.model.n_routed_experts + plan.redundant_experts;
        if (s_.model.has_experts() && copies % ep != 0) {
            error(
                "/plan/expert_parallel",
                fmt::format("{} does not divide the {} routed and redundant experts", ep, copies));
        }
        const std::int64_t per_node = s_.cluster.gpus_per_node;
        if (ep > per_node ? ep % per_node != 0 : per_node % ep != 0) {
            error("/plan/expert_parallel",
                  fmt::format("groups of {} do not align with nodes of {} GPUs", ep, per_node));
        }
    }

    void batch() {
        const Workload& workload = s_.workload;
        const std::int64_t round = s_.plan.data_parallel * workload.micro_batch_sequences;
        if (workload.global_batch_sequences % round != 0) {
            error("/workload/global_batch_sequences",
                  fmt::format("{} is not a multiple of data_parallel x micro_batch_sequences = {}",
                              workload.global_batch_sequences, round));
        }
        s_.micro_batches = static_cast<int>(
            std::min<std::int64_t>(workload.global_batch_sequences / round, 1 << 24));
        if (s_.model.max_position_embeddings > 0 &&
            workload.sequence_length > s_.model.max_position_embeddings) {
            error("/workload/sequence_length",
                  fmt::format("exceeds the model's max_position_embeddings {}",
                              s_.model.max_position_embeddings));
        }
    }

    void size() {
        const std::int64_t passes =
            s_.micro_batches * (s_.model.num_hidden_layers + s_.plan.pipeline_parallel);
        if (passes > kLayerPassesMax) {
            error(
                "/workload/global_batch_sequences",
                fmt::format("{} micro-batches a pipeline are too many for a replay: micro-batches "
                            "x (layers + pipeline ranks) = {}, at most {}; raise data_parallel or "
                            "micro_batch_sequences",
                            s_.micro_batches, passes, kLayerPassesMax));
            schedule_ok_ = false;  // its own limit would only repeat this
        }
    }

    void schedule() {
        if (!schedule_ok_) {
            return;
        }
        if (s_.workload.kind == WorkloadKind::prefill) {
            // Forward passes run in order whatever the schedule; one path through the stages.
            s_.plan.schedule = ScheduleKind::one_f_one_b;
            return;
        }
        const ScheduleOptions options = s_.plan.schedule_options(s_.micro_batches);
        if (const auto problem = schedule_problem(options)) {
            const bool about_ranks =
                s_.plan.schedule == ScheduleKind::dualpipe && options.ranks % 2 != 0;
            error(about_ranks ? "/plan/pipeline_parallel" : "/plan/schedule", *problem);
            schedule_ok_ = false;
        }
    }

    void layers() {
        const std::int64_t layers = s_.model.num_hidden_layers;
        if (!schedule_ok_) {
            return;
        }
        const std::int64_t stages = stage_count(s_.plan.schedule_options(s_.micro_batches));
        if (s_.plan.stage_layers.empty()) {
            if (stages - 1 > layers) {
                error("/plan/pipeline_parallel",
                      fmt::format("{} stages for {} layers", stages, layers));
                return;
            }
            s_.stage_layers = partition_layers(s_.model, s_.plan, s_.workload.sequence_length);
        } else {
            s_.stage_layers = s_.plan.stage_layers;
        }
        std::int64_t sum = 0;
        for (const std::int64_t count : s_.stage_layers) {
            sum += count;
        }
        const auto given = static_cast<std::int64_t>(s_.stage_layers.size());
        if (given != stages) {
            error("/plan/stage_layers", fmt::format("{} entries for {} stages", given, stages));
        } else if (sum != layers) {
            error("/plan/stage_layers",
                  fmt::format("add up to {}, the model has {} layers", sum, layers));
        } else {
            for (std::int64_t s = 0; s + 1 < given; ++s) {
                if (s_.stage_layers[static_cast<std::size_t>(s)] < 1) {
                    error(s_.plan.stage_layers.empty() ? "/plan/pipeline_parallel"
                                                       : fmt::format("/plan/stage_layers/{}", s),
                          fmt::format("stage {} has no decoder layer; only the last may be without",
                                      s));
                }
            }
        }
    }

    void routing() {
        if (s_.routing.node_limit == 0 || !s_.model.has_experts()) {
            return;
        }
        const std::int64_t nodes =
            std::max<std::int64_t>(1, s_.plan.expert_parallel / s_.cluster.gpus_per_node);
        const std::int64_t experts = s_.model.n_routed_experts;
        if (s_.routing.node_limit > nodes) {
            error("/routing/node_limit",
                  fmt::format("exceeds the {} nodes of an expert-parallel group", nodes));
        } else if (experts % nodes != 0 ||
                   s_.model.num_experts_per_tok > s_.routing.node_limit * (experts / nodes)) {
            error("/routing/node_limit",
                  fmt::format("{} nodes hold too few experts for the top {}", s_.routing.node_limit,
                              s_.model.num_experts_per_tok));
        }
    }

    const Document& document_;
    Diagnostics& diagnostics_;
    Scenario& s_;
    bool schedule_ok_ = true;
};

// Runs `load`, which puts the file of a member in place. A file that cannot be read becomes a
// problem of the member that names it, and loading goes on.
template <class Load>
void try_load(const Document& document, const std::string& pointer,
              std::vector<Diagnostic>& problems, Load load) {
    try {
        load();
    } catch (const InputError& error) {
        problems.push_back(document.diagnostic(pointer, "cannot be loaded:"));
        problems.insert(problems.end(), error.diagnostics().begin(), error.diagnostics().end());
    }
}

// A member that is a file or a preset, by its name; an inline object stays.
template <class Load>
void put_in_place(Document& document, const std::string& pointer, std::vector<Diagnostic>& problems,
                  Load load) {
    const Json* value = document.find(pointer);
    if (value != nullptr && value->is_string()) {
        const std::string name = value->get<std::string>();
        try_load(document, pointer, problems, [&] { document.graft(pointer, load(name)); });
    }
}

// Without its file, what is said about a member only follows.
bool lies_below(const std::string& pointer, const std::vector<Diagnostic>& causes) {
    return std::any_of(causes.begin(), causes.end(), [&](const Diagnostic& cause) {
        return !cause.pointer.empty() && (pointer + "/").starts_with(cause.pointer + "/");
    });
}

// Some files could not be loaded: says so, with whatever else is wrong.
[[noreturn]] void refuse(const Document& document, std::vector<Diagnostic> problems) {
    Diagnostics others;
    try {
        read_scenario(document, others);
    } catch (const FeatureError&) {
        // The missing files come first.
    }
    const std::vector<Diagnostic> causes = problems;
    for (const Diagnostic& other : others.errors()) {
        if (!lies_below(other.pointer, causes)) {
            problems.push_back(other);
        }
    }
    throw InputError(std::move(problems));
}

}  // namespace

std::string_view name(WorkloadKind kind) {
    return kind == WorkloadKind::train ? "train" : "prefill";
}
std::string_view name(Engine engine) {
    static constexpr std::array<std::string_view, 3> names = {"simgrid", "fluid", "both"};
    return names[static_cast<std::size_t>(engine)];
}
std::string_view name(Folding folding) {
    static constexpr std::array<std::string_view, 3> names = {"stage", "ep_group", "none"};
    return names[static_cast<std::size_t>(folding)];
}

TrainingSetup Scenario::training_setup() const {
    TrainingSetup setup;
    setup.sizes.config = model;
    setup.sizes.precision = workload.precision;
    setup.sizes.recompute = plan.recompute;
    setup.sizes.sequences = workload.micro_batch_sequences;
    setup.sizes.sequence_length = workload.sequence_length;
    setup.sizes.local_experts =
        (model.n_routed_experts + plan.redundant_experts) / plan.expert_parallel;
    setup.sizes.inference = workload.kind == WorkloadKind::prefill;
    setup.plan = plan;
    setup.stage_layers = stage_layers;
    setup.micro_batches = micro_batches;
    return setup;
}

Document load_scenario_document(const std::filesystem::path& file,
                                const std::vector<Override>& overrides,
                                const ScenarioLoaders& loaders) {
    Document document = Document::from_file(file);
    const std::filesystem::path base = file.parent_path();
    if (!document.root().is_object()) {
        return document;
    }
    // An override of a whole member ("cluster=h100_256x8_mpft") comes before the file is loaded,
    // an override inside it after.
    std::vector<Diagnostic> problems;
    const auto apply = [&](bool whole_members) {
        for (const Override& override : overrides) {
            const bool whole = override.pointer == "/model" || override.pointer == "/cluster" ||
                               override.pointer == "/calibration";
            if (whole == whole_members && !lies_below(override.pointer, problems) &&
                !document.set(override.pointer, override.value, {"--set", 0, 0})) {
                problems.push_back(
                    {{"--set", 0, 0},
                     override.pointer,
                     "runs through a value that is not an object, or past the end of an array",
                     ""});
            }
        }
    };
    apply(true);
    put_in_place(document, "/model", problems,
                 [&](const std::string& name) { return load_model_document(name, base); });
    const Json* cluster = document.find("/cluster");
    if (cluster != nullptr && cluster->is_object()) {
        try_load(document, "/cluster/device", problems,
                 [&] { loaders.inline_cluster(document, "/cluster", base); });
    }
    put_in_place(document, "/cluster", problems,
                 [&](const std::string& name) { return loaders.cluster(name, base); });
    put_in_place(document, "/calibration", problems,
                 [&](const std::string& name) { return loaders.calibration(name, base); });
    apply(false);
    if (!problems.empty()) {
        refuse(document, std::move(problems));
    }
    return document;
}

Scenario read_scenario(const Document& document, Diagnostics& diagnostics) {
    Scenario scenario;
    scenario.document = document;
    ObjectReader reader(document, "", diagnostics);
    if (!reader.is_object()) {
        return scenario;
    }
    reader.accept_header("scenario");
    reader.required("name", scenario.name);
    reader.optional("comment", scenario.comment);
    reader.accept("model");
    if (!reader.has("model")) {
        reader.error("", "missing key 'model'");
    } else {
        scenario.model = read_model_config(document, "/model", diagnostics);
    }
    reader.accept("calibration");
    if (!reader.has("calibration")) {
        reader.error("", "missing key 'calibration'");
    }
    // Only for the checks below: what is wrong in a cluster, its own reader reports.
    Diagnostics shape_problems;
    if (auto cluster = reader.object("cluster", true)) {
        ObjectReader shape(document, "/cluster", shape_problems);
        shape.required("nodes", scenario.cluster.nodes, {1, 1 << 20});
        shape.required("gpus_per_node", scenario.cluster.gpus_per_node, {1, 1024});
    }
    if (auto workload = reader.object("workload", true)) {
        read_workload(*workload, scenario.workload);
    }
    if (auto plan = reader.object("plan", true)) {
        scenario.plan = read_parallel_plan(*plan);
    }
    if (auto routing = reader.object("routing", false)) {
        read_routing(*routing, scenario.routing);
    }
    if (auto replay = reader.object("replay", false)) {
        read_replay(*replay, scenario.replay);
    }
    if (auto prices = reader.object("prices", false)) {
        read_prices(*prices, scenario.prices);
    }
    read_published(reader, scenario.published);
    std::int64_t seed = 0;
    reader.optional("seed", seed, kNotNegative);
    scenario.seed = static_cast<std::uint64_t>(seed);
    reader.finish();
    default_precision(document, scenario);
    if (diagnostics.ok() && shape_problems.ok()) {  // the checks below need whole parts
        CrossChecks(document, diagnostics, scenario).run();
    }
    return scenario;
}

ExecutionGraph build_graph(const Scenario& scenario) {
    const TrainingSetup setup = scenario.training_setup();
    return scenario.workload.kind == WorkloadKind::train ? build_training_graph(setup)
                                                         : build_forward_graph(setup);
}

}  // namespace r1
