// The parameters of a job as the tensors of one Hugging Face checkpoint: which rank writes which,
// and their values.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "model/checkpoint/safetensors.hpp"
#include "model/config/model_config.hpp"
#include "runtime/agreement.hpp"
#include "runtime/rank_state.hpp"

namespace r1 {

// Tensors that a rank can write, one a line: those whose first value is in its part of the master
// weights (the parts divide the work evenly), and the parameters that no gradient trains.
std::string exportable_tensors(RankState& state);

// The rank that writes each tensor: the first of those that can. `exportable`: by rank.
std::map<std::string, int> tensor_writers(const std::vector<std::string>& exportable);

struct ExportedTensor {
    std::string name;
    StoredType dtype = StoredType::bf16;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> data;
};

struct WeightExport {
    const ModelConfig& config;  // of the checkpoint
    const std::map<std::string, int>& writers;
    bool f32 = false;  // values of the master weights; else rounded to BF16
};

// What the calling rank writes. Projections of a config with FP8 weights become FP8 blocks with
// scales, from the values that the kernels' own blocks are made of; routers' bias stays F32. All
// ranks call it.
std::vector<ExportedTensor> export_tensors(RankState& state, const WeightExport& options,
                                           const Everyone& ranks);

}  // namespace r1
