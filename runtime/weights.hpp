// The parameters of a stage as kernels read them, from a Hugging Face checkpoint.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.hpp"
#include "model/graph/op.hpp"
#include "runtime/memory.hpp"
#include "runtime/storage.hpp"

namespace r1 {

// A parameter in the order that kernels take it. Fused projections (gate and up) lie one after the
// other, `parts` of them, each [experts, rows, columns]: a part's 128x128 blocks begin at its own
// first row.
struct Weight {
    DeviceArray<std::byte> data;
    DType dtype = DType::f32;
    DeviceArray<float> scales;  // FP8: [parts, experts, tiles(rows), tiles(columns)]
    std::int64_t parts = 1;
};

// Whether a parameter of the graph holds scales of another.
inline bool is_scale(const Tensor& tensor) { return tensor.name.ends_with("_scale_inv"); }

// Names of the checkpoint that a parameter of the graph is made of, in order: parts, then experts.
// `first_layer`: the model's layer of the stage's slot 0; `first_expert`: of the rank.
std::vector<std::string> checkpoint_names(const Tensor& parameter, const ModelConfig& config,
                                          std::int64_t first_layer, std::int64_t first_expert = 0);

class StageWeights {
public:
    explicit StageWeights(const ExecutionPolicy& policy, Memory& memory = host_memory())
        : policy_(policy), memory_(memory) {}

    // Makes every parameter that the chunk reads known, without data yet: enough for whom only
    // sizes matter.
    void plan(const ChunkTemplate& chunk);
    // Loads every parameter that the chunk reads and that has no data yet. Throws InputError.
    void load(const ChunkTemplate& chunk, const Checkpoint& checkpoint, std::int64_t first_layer);

    // By the name of the graph's tensor. nullptr for tensors that are no parameters, and for
    // scales: their weight holds them.
    [[nodiscard]] const Weight* find(const std::string& name) const;

    // What load() will allocate for a chunk.
    static std::size_t planned_bytes(const ChunkTemplate& chunk, const ExecutionPolicy& policy);

private:
    ExecutionPolicy policy_;
    Memory& memory_;
    std::map<std::string, Weight> weights_;
};

}  // namespace r1
