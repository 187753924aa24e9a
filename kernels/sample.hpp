// Picks the next token of each row of logits. Temperature 0: the largest logit, ties to the
// smaller index. Else softmax(logits / temperature), in descending order (ties as above) up to
// the first token where the sum reaches top_p, and from those by the given uniform number. The
// C++ versions give the same tokens; CUDA adds probabilities in another order, so a number within
// rounding of the border between two tokens may give either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct SampleArgs {
    std::int64_t rows = 0;
    std::int64_t vocabulary = 0;
    double temperature = 0;
    double top_p = 1;
    ConstMatrix logits;  // [rows, vocabulary]
    // [rows], 31 random bits each: the uniform number times 2^31. Not read if temperature is 0.
    const std::int32_t* randoms = nullptr;
    std::int32_t* tokens = nullptr;  // [rows]
    std::span<std::byte> workspace;
};

inline constexpr double kRandomUnit = 0x1p-31;

// One row at a time, so it does not depend on the rows.
std::size_t sample_workspace_bytes(const SampleArgs& args);

namespace reference {
void sample(const SampleArgs& args);
}
namespace cpu {
void sample(const SampleArgs& args);
}
namespace cuda {
std::size_t sample_workspace_bytes(const SampleArgs& args);
void sample(const SampleArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
