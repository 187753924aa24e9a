// y[t] = sum of the rows of token t, in the order of the rows (their weights are applied already,
// by swiglu); zero if it has none. Sums are float32, rounded once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct UnpermuteArgs {
    std::int64_t rows = 0;
    std::int64_t received = 0;  // tokens
    std::int64_t width = 0;
    ConstMatrix x;                          // [rows, width]
    const std::int32_t* row_map = nullptr;  // [rows], 0 <= token < received
    Matrix y;                               // [received, width]
    std::span<std::byte> workspace;
};

namespace reference {
void unpermute(const UnpermuteArgs& args);  // needs no workspace
}
namespace cpu {
std::size_t unpermute_workspace_bytes(const UnpermuteArgs& args);
void unpermute(const UnpermuteArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t unpermute_workspace_bytes(const UnpermuteArgs& args);
void unpermute(const UnpermuteArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
