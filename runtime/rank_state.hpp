// What a rank keeps from step to step: parameters as kernels read them, gradients, and its part of
// the optimizer's state. Parameters and gradients are known by stage and by the graph's names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/graph/graph.hpp"
#include "runtime/device.hpp"
#include "runtime/storage.hpp"
#include "runtime/weights.hpp"

namespace r1 {

// How a parameter of the graph lies in a Hugging Face checkpoint: pieces, one after the other.
struct ParameterPieces {
    std::vector<std::string> names;
    std::size_t piece_elements = 0;
};

// Parameters that are updated together: of a stage all but the routed experts, or those.
struct StateShard {
    std::int32_t stage = 0;
    bool experts = false;
    bool sharded = false;         // ZeRO: a rank updates its part only
    std::vector<RankId> holders;  // ascending
    std::size_t begin = 0;        // own part of the flat order
    std::size_t end = 0;
    DeviceArray<float> gradient;     // flat, all of it
    DeviceArray<float> master;       // of the own part
    DeviceArray<std::byte> exp_avg;  // likewise, BF16 or F32
    DeviceArray<std::byte> exp_avg_sq;
    DeviceArray<float> ema;  // empty: none is kept
};

struct StateParameter {
    Tensor tensor;
    std::int32_t stage = 0;
    Weight weight;
    ParameterPieces pieces;
    StateShard* shard = nullptr;  // nullptr: not trained by gradients (the routers' bias)
    std::size_t offset = 0;       // in the shard's flat order

    [[nodiscard]] std::size_t elements() const {
        return pieces.piece_elements * pieces.names.size();
    }
    [[nodiscard]] float* gradient() const { return shard->gradient.data() + offset; }
};

struct RankStateOptions {
    std::vector<std::int64_t> first_layer;  // of each stage
    bool f32_moments = false;
    bool ema = false;  // the graph keeps a moving average
};

class RankState {
public:
    // Elements of a tensor as a checkpoint names it, row by row.
    using Source = std::function<std::vector<float>(const std::string& name, std::size_t elements)>;

    // State of `rank` in the device's memory, filled from `source`: master weights are its values,
    // parameters what the policy stores of them, moments zero. Keeps a reference to the device.
    RankState(const ExecutionGraph& graph, RankId rank, const ModelConfig& config,
              const ExecutionPolicy& policy, const RankStateOptions& options, const Source& source,
              const Device& device);
    RankState(const RankState&) = delete;
    RankState& operator=(const RankState&) = delete;

    // nullptr: no such parameter. Scales of FP8 weights belong to their weight.
    [[nodiscard]] StateParameter* find(std::int32_t stage, const std::string& name);
    [[nodiscard]] const StateParameter* find(std::int32_t stage, const std::string& name) const;
    // By the name of the gradient; nullptr likewise.
    [[nodiscard]] StateParameter* find_gradient(std::int32_t stage, const std::string& name);
    [[nodiscard]] StateShard* shard(std::int32_t stage, bool experts);
    // Tokens of each expert in this step, by the graph's name; nullptr likewise.
    [[nodiscard]] DeviceArray<std::int32_t>* expert_load(std::int32_t stage,
                                                         const std::string& name);

    [[nodiscard]] std::map<std::pair<std::int32_t, std::string>, StateParameter>& parameters() {
        return parameters_;
    }
    [[nodiscard]] std::vector<std::unique_ptr<StateShard>>& shards() { return shards_; }

    void zero_gradients();
    // Parameters from the master values of a whole shard: `flat` has them in its order, each a row,
    // f32 or bf16, in the device's memory; or the host has them.
    void store(const StateShard& shard, const ConstMatrix& flat);
    void store(const StateShard& shard, std::span<const float> flat);
    [[nodiscard]] const ExecutionPolicy& policy() const { return policy_; }

private:
    using Key = std::pair<std::int32_t, std::string>;  // global tensors have stage -1

    static Key key_of(std::int32_t stage, const Tensor& tensor);
    void add_parameters(const ExecutionGraph& graph, RankId rank, const ModelConfig& config,
                        const RankStateOptions& options);
    void add_shards(const ExecutionGraph& graph, RankId rank);
    void fill(const Source& source, const RankStateOptions& options);

    ExecutionPolicy policy_;
    const Device& device_;
    std::map<Key, StateParameter> parameters_;
    std::vector<std::unique_ptr<StateShard>> shards_;
    std::map<Key, DeviceArray<std::int32_t>> expert_loads_;
};

}  // namespace r1
