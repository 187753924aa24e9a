#include "kernels/gemm_fp8.hpp"

#include <algorithm>

namespace r1::reference {

void gemm_fp8(const GemmFp8Args& args) {
    const std::int64_t blocks = tiles(args.k);
    for (std::int64_t row = 0; row < args.m; ++row) {
        for (std::int64_t column = 0; column < args.n; ++column) {
            float sum = 0;
            for (std::int64_t block = 0; block < blocks; ++block) {
                float partial = 0;
                const std::int64_t end = std::min((block + 1) * kTile, args.k);
                for (std::int64_t i = block * kTile; i < end; ++i) {
                    const std::uint8_t weight =
                        args.w[args.w_transposed ? i * args.n + column : column * args.k + i];
                    partial += float_from_e4m3(args.x[row * args.k + i]) * float_from_e4m3(weight);
                }
                const float w_scale =
                    args.w_scales[args.w_transposed ? block * tiles(args.n) + column / kTile
                                                    : column / kTile * blocks + block];
                sum += partial * args.x_scales[row * blocks + block] * w_scale;
            }
            store(args.y, row, column, sum);
        }
    }
}

}  // namespace r1::reference
