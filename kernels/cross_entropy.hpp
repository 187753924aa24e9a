// nll = log_sum_exp(logits) - logits[label], row by row.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct CrossEntropyArgs {
    std::int64_t tokens = 0;
    std::int64_t vocabulary = 0;
    ConstMatrix logits;                    // [tokens, vocabulary]
    const std::int32_t* labels = nullptr;  // [tokens]; negative: no label, nll 0
    float* nll = nullptr;                  // [tokens]
    float* log_sum_exp = nullptr;          // [tokens]
};

namespace reference {
void cross_entropy(const CrossEntropyArgs& args);  // sums in double
}
namespace cpu {
void cross_entropy(const CrossEntropyArgs& args);
}
namespace cuda {
void cross_entropy(const CrossEntropyArgs& args, const Launch& launch);
}

}  // namespace r1
