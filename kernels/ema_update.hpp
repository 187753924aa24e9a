// Exponential moving average of the parameters (arXiv 2412.19437, sec. 3.2.3).
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"

namespace r1 {

struct EmaUpdateArgs {
    std::int64_t elements = 0;
    float decay = 0;
    const float* master = nullptr;  // [elements]
    float* ema = nullptr;           // [elements] = decay * ema + (1 - decay) * master
};

namespace reference {
void ema_update(const EmaUpdateArgs& args);
}  // namespace reference
namespace cpu {
void ema_update(const EmaUpdateArgs& args);
}  // namespace cpu
namespace cuda {
void ema_update(const EmaUpdateArgs& args, const Launch& launch);
}

}  // namespace r1
