#include "model/scenario/scenario.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "model/scenario/scenario_checks.hpp"

namespace r1 {

namespace {

constexpr std::int64_t kMicroBatchTokensMax = 1 << 28;

const std::vector<std::string>& workload_kinds() {
    static const std::vector<std::string> kinds = {
        "train",  "prefill", "overlapped_pair", "expert_all_to_all", "sft", "grpo", "distill",
        "decode", "serve"};
    return kinds;
}

// One batch of tokens on each rank; `experts` 0: as many as suit the kernels.
void read_expert_all_to_all(ObjectReader& reader, Workload& workload) {
    int kernel = 0;
    reader.optional_choice("kernel", {"normal", "low_latency"}, kernel);
    workload.kernel = static_cast<ExpertKernels>(kernel);
    workload.sequence_length = workload.kernel == ExpertKernels::normal ? 4096 : 128;
    reader.optional("tokens", workload.sequence_length, {1, 1 << 20});
    reader.optional("experts", workload.experts, {1, 1 << 20});
    if (auto precision = reader.object("precision", false)) {
        workload.precision = read_precision(*precision);
    }
    refuse_training_spec(reader);
    reader.finish();
}

void read_workload(const Document& document, ObjectReader reader, Workload& workload) {
    int kind = 0;
    reader.required_choice("kind", workload_kinds(), kind);
    if (kind > static_cast<int>(WorkloadKind::expert_all_to_all)) {
        throw FeatureError("workload kind '" + workload_kinds()[static_cast<std::size_t>(kind)] +
                           "' is not implemented in this version (train, prefill, overlapped_pair "
                           "and expert_all_to_all are)");
    }
    workload.kind = static_cast<WorkloadKind>(kind);
    if (workload.kind == WorkloadKind::expert_all_to_all) {
        read_expert_all_to_all(reader, workload);
        return;
    }
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
    int placement = 0;
    reader.optional_choice("placement", {"contiguous", "balanced"}, placement);
    routing.placement = static_cast<PlacementPolicy>(placement);
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
                                                {"network", &without.network},
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
        } else if (*part->second) {
            reader.error("without", quote(name) + " is there twice");
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

}  // namespace

std::string_view name(WorkloadKind kind) {
    static constexpr std::array<std::string_view, 4> names = {"train", "prefill", "overlapped_pair",
                                                              "expert_all_to_all"};
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
    setup.sizes.tensor_parallel = plan.tensor_parallel;
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
        check_across_parts(document, diagnostics, scenario);
    }
    return scenario;
}

GraphInputs graph_inputs(const Scenario& scenario) {
    GraphInputs inputs{scenario.workload.kind, scenario.training_setup(), scenario.workload.layers,
                       scenario.workload.kernel};
    inputs.setup.plan.comm_sms = 0;
    return inputs;
}

ExecutionGraph build_graph(const GraphInputs& inputs) {
    switch (inputs.kind) {
        case WorkloadKind::train: return build_training_graph(inputs.setup);
        case WorkloadKind::prefill: return build_forward_graph(inputs.setup);
        case WorkloadKind::overlapped_pair:
            return build_overlapped_pair_graph(inputs.setup, inputs.layers);
        case WorkloadKind::expert_all_to_all:
            return build_expert_all_to_all_graph(inputs.setup, inputs.kernel);
    }
    return {};
}

}  // namespace r1
