// For each expert: y = x W^T over its rows, as gemm_bf16. Rows are sorted by expert.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct GroupedGemmBf16Args {
    std::int64_t experts = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    const std::int32_t* offsets = nullptr;  // [experts + 1], the first row of each expert
    ConstMatrix x;                          // [offsets[experts], k]
    ConstMatrix w;                          // [experts * n, k], or [experts * k, n] if w_transposed
    Matrix y;                               // [offsets[experts], n]
    std::span<std::byte> workspace;
    bool w_transposed = false;
};

namespace reference {
void grouped_gemm_bf16(const GroupedGemmBf16Args& args);
}
namespace cpu {
// Does not look at the offsets: they are known only once a step runs.
std::size_t grouped_gemm_bf16_workspace_bytes(const GroupedGemmBf16Args& args);
void grouped_gemm_bf16(const GroupedGemmBf16Args& args);
}  // namespace cpu
namespace cuda {
std::size_t grouped_gemm_bf16_workspace_bytes(const GroupedGemmBf16Args& args);
void grouped_gemm_bf16(const GroupedGemmBf16Args& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
