// For each expert: y = x W^T over its rows, as gemm_fp8. Rows are sorted by expert.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct GroupedGemmFp8Args {
    std::int64_t experts = 0;
    std::int64_t rows_max = 0;  // that x has memory for, at least offsets[experts]
    std::int64_t n = 0;
    std::int64_t k = 0;
    const std::int32_t* offsets = nullptr;  // [experts + 1], the first row of each expert
    const std::uint8_t* x = nullptr;        // [offsets[experts], k] e4m3
    const float* x_scales = nullptr;        // [offsets[experts], tiles(k)]
    const std::uint8_t* w = nullptr;        // [experts, n, k] e4m3, or [experts, k, n]
    const float* w_scales =
        nullptr;  // [experts, tiles(n), tiles(k)], or [experts, tiles(k), tiles(n)]
    Matrix y;     // [offsets[experts], n]
    std::span<std::byte> workspace;
    bool w_transposed = false;  // of w and w_scales, the second forms
};

namespace reference {
void grouped_gemm_fp8(const GroupedGemmFp8Args& args);
}
namespace cpu {
// Does not look at the offsets: they are known only once a step runs.
std::size_t grouped_gemm_fp8_workspace_bytes(const GroupedGemmFp8Args& args);
void grouped_gemm_fp8(const GroupedGemmFp8Args& args);
}  // namespace cpu
namespace cuda {
std::size_t grouped_gemm_fp8_workspace_bytes(const GroupedGemmFp8Args& args);
void grouped_gemm_fp8(const GroupedGemmFp8Args& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
