// y = x * rsqrt(mean(x^2) + eps) * weight
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct RmsNormArgs {
    std::int64_t rows = 0;
    std::int64_t width = 0;  // the norm covers the first `width` columns of x, whose stride may be
                             // larger: kv_a's norm leaves out the rotary key
    float epsilon = 1e-6F;
    ConstMatrix x;       // [rows, >= width]
    ConstMatrix weight;  // [1, width]
    Matrix y;            // [rows, width]
};

namespace reference {
void rms_norm(const RmsNormArgs& args);
}
namespace cpu {
void rms_norm(const RmsNormArgs& args);
}
namespace cuda {
void rms_norm(const RmsNormArgs& args, const Launch& launch);
}

}  // namespace r1
