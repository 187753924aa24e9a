// table_grad[ids[t]] += grad[t], in the order of the tokens: float32 sums of a token that occurs
// more than once are the same bytes in all versions.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct EmbeddingBackwardArgs {
    std::int64_t tokens = 0;
    std::int64_t width = 0;
    std::int64_t vocabulary = 0;
    const std::int32_t* ids = nullptr;  // [tokens], 0 <= id < vocabulary
    ConstMatrix grad;                   // [tokens, width]
    float* table_grad = nullptr;        // [vocabulary, width], added to
};

namespace reference {
void embedding_backward(const EmbeddingBackwardArgs& args);
}
namespace cpu {
void embedding_backward(const EmbeddingBackwardArgs& args);
}
namespace cuda {
void embedding_backward(const EmbeddingBackwardArgs& args, const Launch& launch);
}

}  // namespace r1
