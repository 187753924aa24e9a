#include "kernels/gemm_fp8.hpp"

#include <algorithm>

namespace r1::reference {

namespace {

// Products of the elements [begin, end) of one row of x and one row of w.
float partial_sum(const std::uint8_t* x, const std::uint8_t* w, std::int64_t begin,
                  std::int64_t end) {
    float sum = 0;
    for (std::int64_t i = begin; i < end; ++i) {
        sum += float_from_e4m3(x[i]) * float_from_e4m3(w[i]);
    }
    return sum;
}

}  // namespace

void gemm_fp8(const GemmFp8Args& args) {
    const std::int64_t blocks = tiles(args.k);
    for (std::int64_t row = 0; row < args.m; ++row) {
        for (std::int64_t column = 0; column < args.n; ++column) {
            float sum = 0;
            for (std::int64_t block = 0; block < blocks; ++block) {
                const float partial =
                    partial_sum(args.x + row * args.k, args.w + column * args.k, block * kTile,
                                std::min((block + 1) * kTile, args.k));
                sum += partial * args.x_scales[row * blocks + block] *
                       args.w_scales[column / kTile * blocks + block];
            }
            store(args.y, row, column, sum);
        }
    }
}

}  // namespace r1::reference
