#include "kernels/dequantize_fp8.hpp"

#include <algorithm>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void dequantize_fp8(const DequantizeFp8Args& args) {
    parallel_for(args.rows, args.width, [&](std::int64_t row) {
        Piece piece;
        const float* scales = args.scales + row / args.rows_per_scale * tiles(args.width);
        for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
            load_row({args.codes, DType::e4m3, args.width}, row, column, count, piece.data());
            for (std::int64_t i = 0; i < count; i += kTile) {
                const float scale = scales[(column + i) / kTile];
                const std::int64_t end = std::min(i + kTile, count);
                float* values = piece.data();
                vectorized([&]() R1_INLINE {
#pragma omp simd
                    for (std::int64_t j = i; j < end; ++j) {
                        values[j] *= scale;
                    }
                });
            }
            store_row(args.y, row, column, count, piece.data());
        });
    });
}

}  // namespace r1::cpu
