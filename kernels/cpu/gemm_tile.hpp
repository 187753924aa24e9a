// A tile of y = x W^T, the unit of work of all GEMMs here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/matrix.hpp"

namespace r1::cpu {

// x and w are f32 or bf16 without scales, or e4m3 with both.
struct GemmProblem {
    std::int64_t m = 0;
    std::int64_t n = 0;
    std::int64_t k = 0;
    ConstMatrix x;                    // [m, k]
    ConstMatrix w;                    // [n, k]
    const float* x_scales = nullptr;  // [m, tiles(k)]
    const float* w_scales = nullptr;  // [tiles(n), tiles(k)]
    Matrix y;                         // [m, n]
};

// Scratch of all threads.
std::size_t gemm_workspace_bytes(std::int64_t n);

// The problems are independent; problem_of(index) is called from any thread.
using ProblemOf = GemmProblem (*)(const void* args, std::int64_t index);
void gemm_tiles(std::int64_t problems, std::int64_t n, std::int64_t rows_total, const void* args,
                ProblemOf problem_of, std::span<std::byte> workspace);

}  // namespace r1::cpu
