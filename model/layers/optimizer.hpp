// The end of a step: data-parallel reduction, gradient norm, AdamW, all-gather. ZeRO-1 shards
// optimizer states over the holders of the same parameters (arXiv 2412.19437, sec. 3.2 and 3.3.3:
// FP32 gradients and master weights, BF16 moments).
#pragma once

#include <cstdint>
#include <vector>

#include "model/layers/emitter.hpp"

namespace r1 {

// The parameters and gradients of a stage on one rank, split by who else holds them.
struct StageState {
    std::vector<Tensor> dense_parameters;
    std::vector<Tensor> dense_gradients;
    std::vector<Tensor> tensor_parameters;  // parts of a tensor-parallel group's weights
    std::vector<Tensor> tensor_gradients;
    std::vector<Tensor> expert_parameters;
    std::vector<Tensor> expert_gradients;
    std::vector<Tensor> router_biases;
    std::vector<Tensor> expert_loads;
};
// From the stage's chunks. `shared` names tensors that another stage of the rank already owns;
// `is_sharded`: tensor-parallel groups are larger than one.
StageState stage_state(const std::vector<const ChunkTemplate*>& chunks, std::uint8_t context,
                       const std::vector<std::string>& shared, bool is_sharded);

struct OptimizerSizes {
    std::int64_t data_parallel = 1;         // holders of a dense parameter
    std::int64_t expert_data_parallel = 1;  // holders of a routed expert
    std::int64_t tensor_data_parallel = 1;  // holders of the same part of a weight
    int zero_stage = 1;
    bool sync_embedding = false;  // the embedding lies in two stages on different ranks
    bool ema = false;             // a moving average of the parameters is kept
};

// The experts' loads are summed over all replicas and move the routers' biases (sec. 2.1.2).
// Context 0: this stage. Context 1: the stage of the rank before it, whose partial norm this one
// adds to; absent for the first.
ChunkTemplate optimizer_reduce_chunk(const StageState& state, const OptimizerSizes& sizes,
                                     bool continues);
// The norm over all ranks, from the last stage's partial.
ChunkTemplate optimizer_norm_chunk();
// Context 0: this stage. Context 1: the stage that holds the norm; the same context if `last`.
ChunkTemplate optimizer_update_chunk(const StageState& state, const OptimizerSizes& sizes,
                                     bool last);

}  // namespace r1
