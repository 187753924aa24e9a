// A tile of y = x W^T, the unit of work of all GEMMs here, gradients included.
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
    // The part of k that is summed; tiles are those of the whole. Gradients of experts' weights
    // sum over their rows of all.
    std::int64_t k_begin = 0;
    std::int64_t k_end = 0;
    ConstMatrix x;                    // [m, k], or [k, m] if x_transposed
    ConstMatrix w;                    // [n, k], or [k, n] if w_transposed
    const float* x_scales = nullptr;  // [m, tiles(k)]
    const float* w_scales = nullptr;  // as w_scaling says
    Matrix y;                         // [m, n]
    bool x_transposed = false;
    bool w_transposed = false;
    bool accumulate = false;  // adds to y, which is f32
    // blocks: [tiles(n), tiles(k)], or [tiles(k), tiles(n)] if w_transposed; rows: [n, tiles(k)]
    enum class Scaling { blocks, rows } w_scaling = Scaling::blocks;
};

// Scratch of all threads.
std::size_t gemm_workspace_bytes(std::int64_t n);

// The problems are independent; problem_of(index) is called from any thread. All have n columns;
// rows_total is their rows together; only of a single one does it need to be exact.
using ProblemOf = GemmProblem (*)(const void* args, std::int64_t index);
void gemm_tiles(std::int64_t problems, std::int64_t n, std::int64_t rows_total, const void* args,
                ProblemOf problem_of, std::span<std::byte> workspace);

}  // namespace r1::cpu
