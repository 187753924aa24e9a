// grad = scale * row_scale * (softmax(logits) - onehot(label)), row by row; zero for rows without a
// label.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct CrossEntropyBackwardArgs {
    std::int64_t tokens = 0;
    std::int64_t vocabulary = 0;
    float scale = 1;                       // d loss / d nll, of all rows
    ConstMatrix logits;                    // [tokens, vocabulary]
    const float* log_sum_exp = nullptr;    // [tokens], of cross_entropy()
    const std::int32_t* labels = nullptr;  // [tokens]; negative: no label
    Matrix grad;                           // [tokens, vocabulary]
    const float* row_scales = nullptr;     // [tokens]; nullptr: all 1
};

namespace reference {
void cross_entropy_backward(const CrossEntropyBackwardArgs& args);
}
namespace cpu {
void cross_entropy_backward(const CrossEntropyBackwardArgs& args);
}
namespace cuda {
void cross_entropy_backward(const CrossEntropyBackwardArgs& args, const Launch& launch);
}

}  // namespace r1
