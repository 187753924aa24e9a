// The transpose of rope(): gradients of rotated queries, assembled keys and values back to those
// of q, of kv and of the rotary key that all heads share. Turning a gradient back is a rotation
// by the negative angle (times the magnitude, as forward).
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct RopeBackwardArgs {
    std::int64_t tokens = 0;
    std::int64_t heads = 0;
    std::int64_t nope_dim = 0;
    std::int64_t rope_dim = 0;
    std::int64_t v_dim = 0;
    const std::int32_t* positions = nullptr;  // [tokens]
    const float* frequencies = nullptr;       // [rope_dim / 2], of rope_frequencies()
    float magnitude = 1;                      // of rope_magnitude()
    ConstMatrix q_rope_grad;  // [tokens, heads * (nope_dim + rope_dim)], each head [nope | rope]
    ConstMatrix k_grad;       // [tokens, heads * (nope_dim + rope_dim)]
    ConstMatrix v_grad;       // [tokens, heads * v_dim]
    Matrix q_grad;            // [tokens, heads * (nope_dim + rope_dim)]
    Matrix kv_grad;           // [tokens, heads * (nope_dim + v_dim)], each head [nope | v]
    Matrix k_rope_grad;       // [tokens, rope_dim], summed over the heads
};

namespace reference {
void rope_backward(const RopeBackwardArgs& args);  // sums in double
}
namespace cpu {
void rope_backward(const RopeBackwardArgs& args);
}
namespace cuda {
void rope_backward(const RopeBackwardArgs& args, const Launch& launch);
}

}  // namespace r1
