// For each expert: y += grad^T x over its rows, as gemm_bf16_wgrad. Rows are sorted by expert.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct GroupedGemmBf16WgradArgs {
    std::int64_t experts = 0;
    std::int64_t m = 0;
    std::int64_t n = 0;
    const std::int32_t* offsets = nullptr;  // [experts + 1], the first row of each expert
    ConstMatrix grad;                       // [offsets[experts], m]
    ConstMatrix x;                          // [offsets[experts], n]
    float* y = nullptr;                     // [experts * m, n], added to
    std::span<std::byte> workspace;
    bool transposed = false;  // grad is [m, offsets[experts]], x is [n, offsets[experts]]
};

namespace reference {
void grouped_gemm_bf16_wgrad(const GroupedGemmBf16WgradArgs& args);  // sums in double
}
namespace cpu {
// Does not look at the offsets: they are known only once a step runs.
std::size_t grouped_gemm_bf16_wgrad_workspace_bytes(const GroupedGemmBf16WgradArgs& args);
void grouped_gemm_bf16_wgrad(const GroupedGemmBf16WgradArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t grouped_gemm_bf16_wgrad_workspace_bytes(const GroupedGemmBf16WgradArgs& args);
void grouped_gemm_bf16_wgrad(const GroupedGemmBf16WgradArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
