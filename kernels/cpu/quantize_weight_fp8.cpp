#include "kernels/quantize_weight_fp8.hpp"

#include <algorithm>
#include <array>

#include "kernels/cpu/fp8_tile.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void quantize_weight_fp8(const QuantizeWeightFp8Args& args) {
    const std::int64_t column_blocks = tiles(args.columns);
    parallel_for(tiles(args.rows) * column_blocks, kTile * kTile, [&](std::int64_t block) {
        const std::int64_t row0 = block / column_blocks * kTile;
        const std::int64_t column0 = block % column_blocks * kTile;
        const std::int64_t rows = std::min(kTile, args.rows - row0);
        const std::int64_t columns = std::min(kTile, args.columns - column0);
        std::array<float, kTile * kTile> storage;
        float* values = storage.data();
        for (std::int64_t r = 0; r < rows; ++r) {
            load_row(args.x, row0 + r, column0, columns, values + r * columns);
        }
        std::uint8_t* codes = args.codes + row0 * args.columns + column0;
        float& scale = args.scales[block];
        vectorized([&]() R1_INLINE {
            scale = amax_of(values, rows * columns, kQuantizeAmaxMin) / kE4m3Max;
            for (std::int64_t r = 0; r < rows; ++r) {
                write_codes(values + r * columns, columns, scale, codes + r * args.columns);
            }
        });
    });
}

}  // namespace r1::cpu
