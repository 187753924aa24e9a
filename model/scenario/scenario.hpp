// A scenario file, read and checked: what runs, on what, how it is spread, and how it is replayed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "model/config/model_config.hpp"
#include "model/plan/parallel_plan.hpp"
#include "model/routing/routing_spec.hpp"
#include "model/workload/expert_all_to_all.hpp"
#include "model/workload/train.hpp"
#include "model/workload/training_spec.hpp"

namespace r1 {

// overlapped_pair: one overlapped chunk of a training step, as the published trace.
enum class WorkloadKind { train, prefill, overlapped_pair, expert_all_to_all };
std::string_view name(WorkloadKind kind);

struct Workload {
    WorkloadKind kind = WorkloadKind::train;
    std::int64_t sequence_length = 0;
    std::int64_t global_batch_sequences = 0;
    std::int64_t micro_batch_sequences = 1;
    Precision precision;
    std::int64_t layers = 0;  // overlapped_pair: MoE layers forward, and as many backward
    TrainingSpec training;    // train
    ExpertKernels kernel = ExpertKernels::normal;  // expert_all_to_all
    std::int64_t experts = 0;                      // expert_all_to_all; 0: those of DeepEP's tests

    [[nodiscard]] std::int64_t tokens() const { return sequence_length * global_batch_sequences; }
};

enum class Engine { simgrid, fluid, both };
enum class Folding { stage, ep_group, none };
std::string_view name(Engine engine);
std::string_view name(Folding folding);

// Relative standard deviations (normal) of the time that a rank's kernels take.
struct Stragglers {
    double per_rank = 0;   // the same for the whole step
    double per_chunk = 0;  // drawn anew for each chunk

    bool operator==(const Stragglers&) const = default;
};

// What a replay leaves out, to see what it contributes.
struct Without {
    bool overlap = false;            // all ops of a rank one after the other
    bool sm_split = false;           // overlapped chunks compute on all SMs
    bool stage_imbalance = false;    // all stages take the mean of the stages' compute time
    bool pipeline_messages = false;  // they cost nothing
    bool network = false;            // no transfer takes time: messages, exchanges, collectives
    bool two_hop = false;            // each destination GPU gets its own copy from the source
};

struct ReplaySpec {
    Engine engine = Engine::simgrid;
    Folding fold = Folding::stage;
    Stragglers stragglers;
    Without without;
};

// A measured value that the report sets beside the simulated one.
struct Published {
    std::string metric;  // JSON pointer into the report, or a dotted path: "step.time_s"
    double value = 0;
    std::string source;
};

struct Prices {
    double usd_per_gpu_hour = 2.0;  // arXiv 2412.19437, Table 1: rental price assumed there
    double pue = 1.0;               // facility power over board power
};

struct ClusterShape {
    std::int64_t nodes = 1;
    std::int64_t gpus_per_node = 1;

    [[nodiscard]] std::int64_t gpus() const { return nodes * gpus_per_node; }
};

struct Scenario {
    std::string name;
    std::string comment;
    Document document;  // all files put in place, overrides applied: the resolved scenario
    ModelConfig model;
    ClusterShape cluster;
    Workload workload;
    ParallelPlan plan;  // data_parallel resolved
    std::vector<std::int64_t> stage_layers;
    int micro_batches = 1;  // of one pipeline, a step
    RoutingSpec routing;
    ReplaySpec replay;
    std::vector<Published> published;
    Prices prices;
    std::uint64_t seed = 0;

    [[nodiscard]] TrainingSetup training_setup() const;
    // Ranks of the job; GPUs of the cluster beyond them stay idle.
    [[nodiscard]] std::int64_t ranks() const {
        return static_cast<std::int64_t>(plan.pipeline_parallel) * plan.data_parallel *
               plan.tensor_parallel;
    }
};

// How the names in "cluster" and "calibration", the baseline's too, become documents: sim/ knows.
struct ScenarioLoaders {
    std::function<Document(const std::string& file_or_preset, const std::filesystem::path& base)>
        cluster;
    std::function<Document(const std::string& file_or_preset, const std::filesystem::path& base)>
        calibration;
    // Puts in place what an inline cluster names.
    std::function<void(Document& document, const std::string& pointer,
                       const std::filesystem::path& base)>
        inline_cluster;
};

// Loads the file and everything that it names, then applies the overrides. Throws InputError.
Document load_scenario_document(const std::filesystem::path& file,
                                const std::vector<Override>& overrides,
                                const ScenarioLoaders& loaders);
// The same of a scenario that is no file; what it names is relative to `base`.
Document complete_scenario_document(Document document, const std::filesystem::path& base,
                                    const std::vector<Override>& overrides,
                                    const ScenarioLoaders& loaders);

// Reads all but the insides of clusters and calibrations, and checks what needs several parts.
// Problems go to `diagnostics`; the result is usable only if there was none. Throws FeatureError
// for a workload that this version cannot run.
Scenario read_scenario(const Document& document, Diagnostics& diagnostics);

// The graph of one step of the scenario.
ExecutionGraph build_graph(const Scenario& scenario);

}  // namespace r1
