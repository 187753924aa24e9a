#include "kernels/dequantize_fp8.hpp"

namespace r1::reference {

void dequantize_fp8(const DequantizeFp8Args& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        const float* scales = args.scales + row / args.rows_per_scale * tiles(args.width);
        for (std::int64_t i = 0; i < args.width; ++i) {
            const float value = float_from_e4m3(args.codes[row * args.width + i]);
            store(args.y, row, i, value * scales[i / kTile]);
        }
    }
}

}  // namespace r1::reference
