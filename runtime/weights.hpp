// The parameters of a stage as kernels read them, from a Hugging Face checkpoint.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.hpp"
#include "model/graph/op.hpp"
#include "runtime/storage.hpp"

namespace r1 {

// A parameter in the order that kernels take it. Fused projections (gate and up) lie one after the
// other, `parts` of them, each [experts, rows, columns]: a part's 128x128 blocks begin at its own
// first row.
struct Weight {
    std::vector<std::byte> data;
    DType dtype = DType::f32;
    std::vector<float> scales;  // FP8: [parts, experts, tiles(rows), tiles(columns)]
    std::int64_t parts = 1;
};

// Names of the checkpoint that a parameter of the graph is made of, in order: parts, then experts.
// `first_layer`: the model's layer of the stage's slot 0.
std::vector<std::string> checkpoint_names(const Tensor& parameter, const ModelConfig& config,
                                          std::int64_t first_layer);

class StageWeights {
public:
    // Loads every parameter that the chunk reads. Throws InputError.
    StageWeights(const ChunkTemplate& chunk, const Checkpoint& checkpoint, std::int64_t first_layer,
                 const ExecutionPolicy& policy);

    // nullptr for tensors that are no parameters, and for scales: their weight holds them.
    [[nodiscard]] const Weight* find(TensorId tensor) const;

private:
    std::map<std::uint32_t, Weight> weights_;
};

}  // namespace r1
