#include "kernels/grouped_gemm_fp8.hpp"

#include <algorithm>

namespace r1::reference {

void grouped_gemm_fp8(const GroupedGemmFp8Args& args) {
    const std::int64_t blocks = tiles(args.k);
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        const std::uint8_t* weights = args.w + expert * args.n * args.k;
        const float* w_scales = args.w_scales + expert * tiles(args.n) * blocks;
        for (std::int64_t row = args.offsets[expert]; row < args.offsets[expert + 1]; ++row) {
            const std::uint8_t* x = args.x + row * args.k;
            for (std::int64_t column = 0; column < args.n; ++column) {
                const std::uint8_t* w = weights + column * args.k;
                float sum = 0;
                for (std::int64_t block = 0; block < blocks; ++block) {
                    float partial = 0;
                    const std::int64_t end = std::min((block + 1) * kTile, args.k);
                    for (std::int64_t i = block * kTile; i < end; ++i) {
                        partial += float_from_e4m3(x[i]) * float_from_e4m3(w[i]);
                    }
                    sum += partial * args.x_scales[row * blocks + block] *
                           w_scales[column / kTile * blocks + block];
                }
                store(args.y, row, column, sum);
            }
        }
    }
}

}  // namespace r1::reference
