// The graph of one training step, and of forward-only passes.
#pragma once

#include <cstdint>
#include <vector>

#include "model/graph/graph.hpp"
#include "model/layers/emitter.hpp"
#include "model/plan/parallel_plan.hpp"

namespace r1 {

struct TrainingSetup {
    LayerSizes sizes;
    ParallelPlan plan;                       // data_parallel resolved
    std::vector<std::int64_t> stage_layers;  // decoder layers by stage
    int micro_batches = 1;                   // of one pipeline, a step
    bool ema = false;                        // of the parameters

    bool operator==(const TrainingSetup&) const = default;
};

// Throws GraphError if the emitted graph breaks a rule: a bug, or a plan that was not checked.
ExecutionGraph build_training_graph(const TrainingSetup& setup);

// One overlapped chunk: `layers` MoE layers of one stage forward beside as many of another
// backward, all that ran before given, no pipeline messages. The chunk is the template of a
// training step.
ExecutionGraph build_overlapped_pair_graph(const TrainingSetup& setup, std::int64_t layers);

// Forward passes only: every stage runs its micro-batches in order (prefill).
ExecutionGraph build_forward_graph(const TrainingSetup& setup);

// The setup of a forward pass over `sequences` x `sequence_length` tokens on one rank, in the
// precision of the checkpoint's weights: that of a prefill scenario with this model.
TrainingSetup forward_setup(const ModelConfig& config, std::int64_t sequences,
                            std::int64_t sequence_length);
// The same over latent caches. tokens: new ones of each sequence. Without `mtp`, the graph leaves
// the MTP module out.
TrainingSetup generation_setup(const ModelConfig& config, CacheUse use, std::int64_t sequences,
                               std::int64_t tokens, bool mtp);

}  // namespace r1
