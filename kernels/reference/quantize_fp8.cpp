#include "kernels/quantize_fp8.hpp"

#include <algorithm>
#include <cmath>

namespace r1::reference {

void quantize_fp8(const QuantizeFp8Args& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        for (std::int64_t tile = 0; tile < tiles(args.width); ++tile) {
            const std::int64_t begin = tile * kTile;
            const std::int64_t end = std::min(begin + kTile, args.width);
            float amax = args.amax_min;
            for (std::int64_t i = begin; i < end; ++i) {
                amax = std::max(amax, std::abs(load(args.x, row, i)));
            }
            const float scale = amax / kE4m3Max;
            args.scales[row * tiles(args.width) + tile] = scale;
            for (std::int64_t i = begin; i < end; ++i) {
                args.codes[row * args.width + i] = e4m3_from_float(load(args.x, row, i) / scale);
            }
        }
    }
}

}  // namespace r1::reference
