#include "kernels/requantize_transpose_fp8.hpp"

#include <algorithm>

#include "kernels/cpu/fp8_tile.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

// Whole cache lines of codes, and two blocks in a tile of the input: one scale a row in each.
constexpr std::int64_t kBlockColumns = 64;
// Off a power of two, so that the columns fall into different cache sets.
constexpr std::int64_t kStride = kTile + 16;

// The values of a tile of rows and a block of columns, transposed.
struct Block {
    std::int64_t row0;
    std::int64_t rows;
    std::int64_t column0;
    std::int64_t columns;
    float* values;  // [columns, kStride]
};

void load_block(const RequantizeTransposeFp8Args& args, const Block& block) {
    const bool coded = args.codes != nullptr;
    const ConstMatrix x = coded ? ConstMatrix{args.codes, DType::e4m3, args.width} : args.x;
    pack_rows_transposed(x, block.row0, block.rows, block.column0, block.columns, block.values,
                         kStride);
    if (!coded) {
        return;
    }
    float scales[kTile];
    for (std::int64_t i = 0; i < block.rows; ++i) {
        scales[i] = args.scales[(block.row0 + i) * tiles(args.width) + block.column0 / kTile];
    }
    vectorized([&]() R1_INLINE {
        for (std::int64_t column = 0; column < block.columns; ++column) {
            float* values = block.values + column * kStride;
#pragma omp simd
            for (std::int64_t i = 0; i < block.rows; ++i) {
                values[i] *= scales[i];
            }
        }
    });
}

void store_block(const RequantizeTransposeFp8Args& args, const Block& block) {
    for (std::int64_t i = 0; i < block.columns; ++i) {
        const std::int64_t column = block.column0 + i;
        const float* values = block.values + i * kStride;
        if (args.y.data != nullptr) {
            store_row(args.y, column, block.row0, block.rows, values);
        }
        if (args.transposed_codes != nullptr) {
            args.transposed_scales[column * tiles(args.rows) + block.row0 / kTile] = quantize_tile(
                values, block.rows, args.transposed_codes + column * args.rows + block.row0,
                args.amax_min);
        }
    }
}

}  // namespace

void requantize_transpose_fp8(const RequantizeTransposeFp8Args& args) {
    const std::int64_t column_blocks = ceil_divide(args.width, kBlockColumns);
    const std::int64_t blocks = tiles(args.rows) * column_blocks;
    parallel_for(blocks, kTile * kBlockColumns, [&](std::int64_t index) {
        alignas(64) float values[kBlockColumns * kStride];
        const std::int64_t row0 = index / column_blocks * kTile;
        const std::int64_t column0 = index % column_blocks * kBlockColumns;
        const Block block{row0, std::min(kTile, args.rows - row0), column0,
                          std::min(kBlockColumns, args.width - column0), values};
        load_block(args, block);
        store_block(args, block);
    });
}

}  // namespace r1::cpu
