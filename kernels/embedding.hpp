// y[t] = table[tokens[t]]
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct EmbeddingArgs {
    std::int64_t tokens = 0;
    std::int64_t width = 0;
    std::int64_t vocabulary = 0;
    const std::int32_t* ids = nullptr;  // [tokens], 0 <= id < vocabulary
    ConstMatrix table;                  // [vocabulary, width]
    Matrix y;                           // [tokens, width]
};

namespace reference {
void embedding(const EmbeddingArgs& args);
}
namespace cpu {
void embedding(const EmbeddingArgs& args);
}
namespace cuda {
void embedding(const EmbeddingArgs& args, const Launch& launch);
}

}  // namespace r1
