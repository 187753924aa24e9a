#include "kernels/cpu/gemm_tile.hpp"

#include <algorithm>

#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

// A block of x (tile rows * kDepth floats) and the sums stay in the second-level cache.
constexpr std::int64_t kTileRows = 28 * 14;
constexpr std::int64_t kTileColumns = 256;
constexpr std::int64_t kSumStride = kTileColumns + 16;
// Rows whose partial sums of an FP8 block stay in the first-level cache until they are scaled.
constexpr std::int64_t kPartialRows = 4 * 14;

struct Scratch {
    float* a;     // [kTileRows, kRowStride]
    float* sums;  // [kTileRows, kSumStride]
};
constexpr std::size_t kScratchBytes = workspace_bytes_of<float>(kTileRows * kRowStride) +
                                      workspace_bytes_of<float>(kTileRows * kSumStride);

struct Tile {
    std::int64_t row0;
    std::int64_t rows;
    std::int64_t column0;
    std::int64_t columns;
};

// The scales of a panel's columns in one tile of k.
void load_w_scales(const GemmProblem& problem, std::int64_t column0, std::int64_t block,
                   float* scales) {
    const std::int64_t blocks = tiles(problem.k);
    if (problem.w_scaling == GemmProblem::Scaling::rows) {
        const std::int64_t columns = std::min(kPanel, problem.n - column0);
        for (std::int64_t j = 0; j < columns; ++j) {
            scales[j] = problem.w_scales[(column0 + j) * blocks + block];
        }
        std::fill_n(scales + columns, kPanel - columns, 0.0F);
        return;
    }
    // Panels begin at multiples of 32, so one panel lies in one block of w.
    const std::int64_t column = column0 / kTile;
    const std::int64_t at =
        problem.w_transposed ? block * tiles(problem.n) + column : column * blocks + block;
    std::fill_n(scales, kPanel, problem.w_scales[at]);
}

// sums += (products within one tile of k) * scale of x's tile * scale of w's block.
void add_scaled(const GemmProblem& problem, const Tile& tile, std::int64_t panel, std::int64_t k0,
                std::int64_t depth, const float* b, const Scratch& scratch) {
    alignas(64) float partial[kPartialRows * kPanel];
    alignas(64) float w_scales[kPanel];
    const std::int64_t blocks = tiles(problem.k);
    const std::int64_t block = k0 / kTile;
    load_w_scales(problem, tile.column0 + panel, block, w_scales);
    for (std::int64_t row = 0; row < tile.rows; row += kPartialRows) {
        const std::int64_t rows = std::min(kPartialRows, tile.rows - row);
        multiply_panel(rows, depth, scratch.a + row * kRowStride, b, partial, kPanel, false);
        for (std::int64_t r = 0; r < rows; ++r) {
            const float x_scale = problem.x_scales[(tile.row0 + row + r) * blocks + block];
            float* sums = scratch.sums + (row + r) * kSumStride + panel;
            const float* products = partial + r * kPanel;
#pragma omp simd
            for (std::int64_t j = 0; j < kPanel; ++j) {
                sums[j] += products[j] * x_scale * w_scales[j];
            }
        }
    }
}

void pack_x(const GemmProblem& problem, const Tile& tile, std::int64_t k0, std::int64_t depth,
            float* a) {
    if (problem.x_transposed) {
        pack_rows_transposed(problem.x, k0, depth, tile.row0, tile.rows, a, kRowStride);
    } else {
        pack_rows(problem.x, tile.row0, tile.rows, k0, depth, a);
    }
}

void pack_w(const GemmProblem& problem, std::int64_t column0, std::int64_t columns, std::int64_t k0,
            std::int64_t depth, float* b) {
    if (problem.w_transposed) {
        pack_panel(problem.w, k0, depth, column0, columns, b);
    } else {
        pack_transposed(problem.w, column0, columns, k0, depth, b);
    }
}

void finish_rows(const GemmProblem& problem, const Tile& tile, const Scratch& scratch) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
        const float* sums = scratch.sums + r * kSumStride;
        if (!problem.accumulate) {
            store_row(problem.y, tile.row0 + r, tile.column0, tile.columns, sums);
            continue;
        }
        float* y =
            static_cast<float*>(problem.y.data) + (tile.row0 + r) * problem.y.stride + tile.column0;
#pragma omp simd
        for (std::int64_t j = 0; j < tile.columns; ++j) {
            y[j] += sums[j];
        }
    }
}

void run_tile(const GemmProblem& problem, const Tile& tile, const Scratch& scratch) {
    alignas(64) float b[kDepth * kPanel];
    const bool scaled = problem.w_scales != nullptr;
    const std::int64_t step = scaled ? kTile : kDepth;
    if (scaled || problem.k_begin == problem.k_end) {
        std::fill_n(scratch.sums, tile.rows * kSumStride, 0.0F);
    }
    std::int64_t depth = 0;
    for (std::int64_t k0 = problem.k_begin; k0 < problem.k_end; k0 += depth) {
        depth = std::min(step - k0 % step, problem.k_end - k0);  // up to a border of the tiles
        pack_x(problem, tile, k0, depth, scratch.a);
        for (std::int64_t panel = 0; panel < tile.columns; panel += kPanel) {
            pack_w(problem, tile.column0 + panel, std::min(kPanel, tile.columns - panel), k0, depth,
                   b);
            if (scaled) {
                add_scaled(problem, tile, panel, k0, depth, b, scratch);
            } else {
                multiply_panel(tile.rows, depth, scratch.a, b, scratch.sums + panel, kSumStride,
                               k0 > problem.k_begin);
            }
        }
    }
    finish_rows(problem, tile, scratch);
}

}  // namespace

std::size_t gemm_workspace_bytes(std::int64_t n) {
    return n == 0 ? 0 : static_cast<std::size_t>(thread_count()) * kScratchBytes;
}

void gemm_tiles(std::int64_t problems, std::int64_t n, std::int64_t rows_total, const void* args,
                ProblemOf problem_of, std::span<std::byte> workspace) {
    if (n == 0 || problems == 0 || rows_total == 0) {
        return;
    }
    Carver carver(workspace);
    float* scratch =
        carver.take<float>(thread_count() * (kTileRows * kRowStride + kTileRows * kSumStride));
    // One product is shared out by rows and columns; of many, each task takes all rows, however
    // many those are. Narrower tiles where there would be too few; the sums do not depend on it.
    const std::int64_t row_parts = problems == 1 ? ceil_divide(rows_total, kTileRows) : 1;
    const std::int64_t wanted = ceil_divide(4 * thread_count(), problems * row_parts);
    const std::int64_t width =
        std::clamp(ceil_divide(ceil_divide(n, wanted), kPanel) * kPanel, kPanel, kTileColumns);
    const std::int64_t column_tiles = ceil_divide(n, width);
    const std::int64_t tasks = problems * column_tiles * row_parts;
    parallel_for(tasks, rows_total * n / tasks, [&](std::int64_t task) {
        const GemmProblem problem = problem_of(args, task / column_tiles / row_parts);
        if (problem.accumulate && problem.k_begin == problem.k_end) {
            return;  // nothing to add: an expert without rows
        }
        float* own = scratch + thread_index() * (kTileRows * kRowStride + kTileRows * kSumStride);
        const std::int64_t column = task % column_tiles * width;
        // Row tiles of nearly equal height.
        const std::int64_t count = ceil_divide(problem.m, kTileRows);
        for (std::int64_t i = task / column_tiles % row_parts; i < count; i += row_parts) {
            const std::int64_t row = problem.m * i / count;
            run_tile(problem,
                     {row, problem.m * (i + 1) / count - row, column, std::min(width, n - column)},
                     {own, own + kTileRows * kRowStride});
        }
    });
}

}  // namespace r1::cpu
