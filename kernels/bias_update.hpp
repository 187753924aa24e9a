// Balance without an auxiliary loss (arXiv 2408.15664; 2412.19437, sec. 2.1.2): after a step, the
// bias of each expert that got more than the mean load goes down by gamma, of each that got less
// up. Loads are counted batch by batch, ranks add theirs up, then the bias is updated.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"

namespace r1 {

struct ExpertLoadArgs {
    std::int64_t tokens = 0;
    std::int64_t experts = 0;
    std::int64_t experts_per_token = 0;
    const std::int32_t* indices = nullptr;  // [tokens, experts_per_token]
    std::int32_t* load = nullptr;           // [experts] tokens of each expert; these are added
};

struct BiasUpdateArgs {
    std::int64_t experts = 0;
    float gamma = 0;                     // the bias update speed
    const std::int32_t* load = nullptr;  // [experts], of the whole batch
    float* bias = nullptr;               // [experts] += gamma * sign(mean(load) - load)
};

namespace reference {
void expert_load(const ExpertLoadArgs& args);
void bias_update(const BiasUpdateArgs& args);
}  // namespace reference
namespace cpu {
void expert_load(const ExpertLoadArgs& args);
void bias_update(const BiasUpdateArgs& args);
}  // namespace cpu
namespace cuda {
void expert_load(const ExpertLoadArgs& args, const Launch& launch);
void bias_update(const BiasUpdateArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
