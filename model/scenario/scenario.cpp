#include "model/scenario/scenario.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

namespace r1 {

namespace {

constexpr std::int64_t kMicroBatchTokensMax = 1 << 28;

// A replay holds some 30 activities of 300 bytes for each of these: 3 GB, 45 s. The largest
// published jobs have some 10^4.
constexpr std::int64_t kLayerPassesMax = 300'000;

const std::vector<std::string>& workload_kinds() {
    static const std::vector<std::string> kinds = {"train",  "prefill", "overlapped_pair",
                                                   "sft",    "grpo",    "distill",
                                                   "decode", "serve",   "expert_all_to_all"};
    return kinds;
}

void read_workload(const Document& document, ObjectReader reader, Workload& workload) {
    int kind = 0;
    reader.required_choice("kind", workload_kinds(), kind);
    if (kind > static_cast<int>(WorkloadKind::overlapped_pair)) {
        throw FeatureError(
            "workload kind '" + workload_kinds()[static_cast<std::size_t>(kind)] +
            "' is not implemented in this version (train, prefill and overlapped_pair are)");
    }
    workload.kind = static_cast<WorkloadKind>(kind);
    reader.required("sequence_length", workload.sequence_length, {1, 1 << 24});
    reader.required("global_batch_sequences", workload.global_batch_sequences, {1, 1e9});
    reader.optional("micro_batch_sequences", workload.micro_batch_sequences, {1, 1 << 20});
    if (workload.micro_batch_sequences * workload.sequence_length > kMicroBatchTokensMax) {
        reader.error("micro_batch_sequences",
                     fmt::format("more than {} tokens in a micro-batch", kMicroBatchTokensMax));
    }
    if (workload.kind == WorkloadKind::overlapped_pair) {
        reader.required("layers", workload.layers, {1, 1024});
    }
    if (auto precision = reader.object("precision", false)) {
        workload.precision = read_precision(*precision);
    }
    if (workload.kind == WorkloadKind::train) {
        workload.training = read_training_spec(document, reader);
    } else {
        refuse_training_spec(reader);
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

void read_routing(const Document& document, ObjectReader reader, RoutingSpec& routing) {
    int source = 0;
    reader.optional_choice("source", {"balanced", "zipf", "router", "captured"}, source);
    routing.source = static_cast<RoutingSource>(source);
    reader.optional("node_limit", routing.node_limit, kAtLeastOne);
    const auto only_of = [&](RoutingSource owner, const char* key) {
        if (routing.source != owner && reader.has(key)) {
            reader.error(key, fmt::format("belongs to source '{}'", name(owner)));
        }
    };
    reader.optional("skew", routing.skew, {0, 10});
    reader.optional("affinity_spread", routing.affinity_spread, {0, 10});
    reader.optional("bias_update_speed", routing.bias_update_speed, {0, 1});
    reader.optional("bias_updates", routing.bias_updates, {0, 10'000});
    if (routing.source == RoutingSource::captured) {
        std::string binding;
        reader.required("binding", binding);
        const std::string file = document.location(reader.pointer("binding")).file;
        routing.binding = file == "--set" ? std::filesystem::path(binding)
                                          : std::filesystem::path(file).parent_path() / binding;
    }
    only_of(RoutingSource::captured, "binding");
    only_of(RoutingSource::zipf, "skew");
    for (const char* key : {"affinity_spread", "bias_update_speed", "bias_updates"}) {
        only_of(RoutingSource::router, key);
    }
    reader.finish();
}

void read_without(ObjectReader& reader, Without& without) {
    const std::map<std::string, bool*> parts = {{"overlap", &without.overlap},
                                                {"sm_split", &without.sm_split},
                                                {"stage_imbalance", &without.stage_imbalance},
                                                {"pipeline_messages", &without.pipeline_messages},
                                                {"two_hop", &without.two_hop}};
    std::vector<std::string> names;
    for (const auto& [name, flag] : parts) {
        names.push_back(name);
    }
    std::vector<std::string> chosen;
    reader.optional("without", chosen);
    for (const std::string& name : chosen) {
        const auto part = parts.find(name);
        if (part == parts.end()) {
            reader.error("without", "unknown part '" + name + "'" + did_you_mean(name, names));
        } else {
            *part->second = true;
        }
    }
}

void read_replay(ObjectReader reader, ReplaySpec& replay) {
    int engine = static_cast<int>(replay.engine);
    reader.optional_choice("engine", {"simgrid", "fluid", "both"}, engine);
    replay.engine = static_cast<Engine>(engine);
    int fold = static_cast<int>(replay.fold);
    reader.optional_choice("fold", {"stage", "ep_group", "none"}, fold);
    replay.fold = static_cast<Folding>(fold);
    if (auto stragglers = reader.object("stragglers", false)) {
        stragglers->optional("per_rank", replay.stragglers.per_rank, {0, 1});
        stragglers->optional("per_chunk", replay.stragglers.per_chunk, {0, 1});
        stragglers->finish();
    }
    read_without(reader, replay.without);
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
        if (s_.workload.kind == WorkloadKind::overlapped_pair) {
            overlapped_pair();
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

    // One chunk on each rank, of layers that the model has; no schedule, no stages.
    void overlapped_pair() {
        schedule_ok_ = false;
        const std::int64_t moe = s_.model.num_hidden_layers - s_.model.first_k_dense_replace;
        if (!s_.model.has_experts() || s_.workload.layers > moe) {
            error("/workload/layers",
                  fmt::format("the model has {} MoE layers", s_.model.has_experts() ? moe : 0));
        }
        if (s_.plan.pipeline_parallel != 1) {
            error("/plan/pipeline_parallel", "an overlapped pair is on one pipeline rank");
        }
        if (s_.micro_batches != 1) {
            error("/workload/global_batch_sequences",
                  "an overlapped pair is of one micro-batch forward and one backward on each "
                  "rank: data_parallel x micro_batch_sequences");
        }
        s_.stage_layers = {s_.workload.layers, s_.workload.layers};
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

}  // namespace

std::string_view name(WorkloadKind kind) {
    static constexpr std::array<std::string_view, 3> names = {"train", "prefill",
                                                              "overlapped_pair"};
    return names[static_cast<std::size_t>(kind)];
}
std::string_view name(Engine engine) {
    static constexpr std::array<std::string_view, 3> names = {"simgrid", "fluid", "both"};
    return names[static_cast<std::size_t>(engine)];
}
std::string_view name(RoutingSource source) {
    static constexpr std::array<std::string_view, 4> names = {"balanced", "zipf", "router",
                                                              "captured"};
    return names[static_cast<std::size_t>(source)];
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
    setup.ema = workload.training.optimizer.ema_decay > 0;
    return setup;
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
    if (auto baseline = reader.object("baseline", false)) {
        baseline->object("cluster", true);
        baseline->object("calibration", true);
        baseline->finish();
    }
    // Only for the checks below: what is wrong in a cluster, its own reader reports.
    Diagnostics shape_problems;
    if (auto cluster = reader.object("cluster", true)) {
        ObjectReader shape(document, "/cluster", shape_problems);
        shape.required("nodes", scenario.cluster.nodes, {1, 1 << 20});
        shape.required("gpus_per_node", scenario.cluster.gpus_per_node, {1, 1024});
    }
    if (auto workload = reader.object("workload", true)) {
        read_workload(document, *workload, scenario.workload);
    }
    if (auto plan = reader.object("plan", true)) {
        scenario.plan = read_parallel_plan(*plan);
    }
    if (auto routing = reader.object("routing", false)) {
        read_routing(document, *routing, scenario.routing);
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
    switch (scenario.workload.kind) {
        case WorkloadKind::train: return build_training_graph(setup);
        case WorkloadKind::prefill: return build_forward_graph(setup);
        case WorkloadKind::overlapped_pair:
            return build_overlapped_pair_graph(setup, scenario.workload.layers);
    }
    return {};
}

}  // namespace r1
