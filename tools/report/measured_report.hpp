// The report of an executed run ("r1sim.report/1", run_info.measured): the sections of a simulated
// one, measured, and what only execution tells: losses, routing, bytes sent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/base/json_fwd.hpp"
#include "runtime/communicator.hpp"
#include "sim/simulate.hpp"

namespace r1 {

// Losses are mean cross-entropies in nats a predicted token.
struct TrainingOutcome {
    std::vector<double> loss;      // of each step of the run
    std::vector<double> mtp_loss;  // likewise; empty if the model has no MTP module
    std::optional<double> held_out_loss;
    std::optional<double> byte_model_loss;  // of a simple model of bytes, on the held-out data
    double learning_rate = 0;               // of the last step
    std::optional<double> gradient_norm;    // of the last step, before clipping
};

struct MeasuredRouting {
    double nodes_per_token_mean = 0;  // distinct nodes, the source's own counted when chosen
    std::int64_t nodes_per_token_max = 0;
    // Tokens of each expert, by step (the last ones: 100 are enough) and layer; empty for dense
    // layers.
    std::vector<std::vector<std::vector<std::int32_t>>> expert_load;
};

struct RunInfo {
    std::string device;     // "cpu", "cuda"
    std::string transport;  // "threads", "loopback", "mpi", "nccl"
    int ranks_per_node = 1;
    double wall_s = 0;       // of all steps of this run
    std::int64_t steps = 0;  // how many; a resumed run has more losses
    std::int64_t peak_memory_bytes =
        0;  // of the process; of the largest, where ranks are processes
    // The same of its device's memory, as planned and as used; nothing where that is the host's.
    std::optional<std::int64_t> device_planned_bytes;
    std::optional<std::int64_t> device_peak_bytes;
    std::string version;
};

struct MeasuredRun {
    const Setting& setting;
    const ExecutionGraph& graph;
    // One iteration, as recorded: numbered 0, one lane a rank, on one clock.
    Timeline timeline;
    std::vector<double> iteration_s;  // of all iterations that were timed
    MemoryPlan memory;
    TrainingOutcome training;
    MeasuredRouting routing;
    Traffic traffic;  // what all ranks together sent in one iteration
    RunInfo info;
    std::vector<std::string> warnings;
    // What the graph and the recorded binding make the traffic; nullopt where they do not tell.
    std::optional<Traffic> graph_traffic{};
};

Json make_measured_report(const MeasuredRun& run);

// What executes each kind of op of a graph: "gemm_fp8": the device whose kernels compute,
// "dispatch": what carries messages.
Json implementations_json(const ExecutionGraph& graph, const std::string& device,
                          const std::string& transport);

}  // namespace r1
