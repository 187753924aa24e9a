#include "kernels/quantize_weight_fp8.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/quantize_fp8.hpp"

namespace r1::reference {

void quantize_weight_fp8(const QuantizeWeightFp8Args& args) {
    for (std::int64_t block = 0; block < tiles(args.rows) * tiles(args.columns); ++block) {
        const std::int64_t row0 = block / tiles(args.columns) * kTile;
        const std::int64_t column0 = block % tiles(args.columns) * kTile;
        const std::int64_t row_end = std::min(row0 + kTile, args.rows);
        const std::int64_t column_end = std::min(column0 + kTile, args.columns);
        float amax = kQuantizeAmaxMin;
        for (std::int64_t row = row0; row < row_end; ++row) {
            for (std::int64_t i = column0; i < column_end; ++i) {
                amax = std::max(amax, std::abs(load(args.x, row, i)));
            }
        }
        const float scale = amax / kE4m3Max;
        args.scales[block] = scale;
        for (std::int64_t row = row0; row < row_end; ++row) {
            for (std::int64_t i = column0; i < column_end; ++i) {
                args.codes[row * args.columns + i] = e4m3_from_float(load(args.x, row, i) / scale);
            }
        }
    }
}

}  // namespace r1::reference
