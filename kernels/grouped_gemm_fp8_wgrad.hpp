// For each expert: y += grad x^T over its rows, as gemm_fp8_wgrad. Rows are sorted by expert and
// are the columns of both operands. Tiles are those of all rows, at multiples of 128: an expert
// may begin inside one, and sums of products end where a tile or the expert does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

// rows = offsets[experts]
struct GroupedGemmFp8WgradArgs {
    std::int64_t experts = 0;
    std::int64_t rows_max = 0;  // at least rows
    std::int64_t m = 0;
    std::int64_t n = 0;
    const std::int32_t* offsets = nullptr;  // [experts + 1], the first row of each expert
    const std::uint8_t* grad = nullptr;     // [m, rows] e4m3
    const float* grad_scales = nullptr;     // [m, tiles(rows)]
    const std::uint8_t* x = nullptr;        // [n, rows] e4m3
    const float* x_scales = nullptr;        // [n, tiles(rows)]
    float* y = nullptr;                     // [experts * m, n], added to
    std::span<std::byte> workspace;
};

namespace reference {
void grouped_gemm_fp8_wgrad(const GroupedGemmFp8WgradArgs& args);
}
namespace cpu {
// Does not look at the offsets: they are known only once a step runs.
std::size_t grouped_gemm_fp8_wgrad_workspace_bytes(const GroupedGemmFp8WgradArgs& args);
void grouped_gemm_fp8_wgrad(const GroupedGemmFp8WgradArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t grouped_gemm_fp8_wgrad_workspace_bytes(const GroupedGemmFp8WgradArgs& args);
void grouped_gemm_fp8_wgrad(const GroupedGemmFp8WgradArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
