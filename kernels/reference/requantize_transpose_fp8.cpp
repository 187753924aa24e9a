#include "kernels/requantize_transpose_fp8.hpp"

#include <algorithm>
#include <array>

#include "kernels/quantize_fp8.hpp"

namespace r1::reference {

namespace {

float value_of(const RequantizeTransposeFp8Args& args, std::int64_t row, std::int64_t column) {
    if (args.codes == nullptr) {
        return load(args.x, row, column);
    }
    return float_from_e4m3(args.codes[row * args.width + column]) *
           args.scales[row * tiles(args.width) + column / kTile];
}

}  // namespace

void requantize_transpose_fp8(const RequantizeTransposeFp8Args& args) {
    for (std::int64_t column = 0; column < args.width; ++column) {
        for (std::int64_t tile = 0; tile < tiles(args.rows); ++tile) {
            const std::int64_t row0 = tile * kTile;
            const std::int64_t count = std::min(kTile, args.rows - row0);
            std::array<float, kTile> values{};
            for (std::int64_t i = 0; i < count; ++i) {
                values[static_cast<std::size_t>(i)] = value_of(args, row0 + i, column);
                if (args.y.data != nullptr) {
                    store(args.y, column, row0 + i, values[static_cast<std::size_t>(i)]);
                }
            }
            if (args.transposed_codes != nullptr) {
                quantize_fp8({1,
                              count,
                              {values.data(), DType::f32, kTile},
                              args.transposed_codes + column * args.rows + row0,
                              args.transposed_scales + column * tiles(args.rows) + tile,
                              args.amax_min});
            }
        }
    }
}

}  // namespace r1::reference
