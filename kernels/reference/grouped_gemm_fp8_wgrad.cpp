#include "kernels/grouped_gemm_fp8_wgrad.hpp"

#include <algorithm>

namespace r1::reference {

namespace {

// Row `row` of grad times row `column` of x, over the tokens [begin, end).
float product(const GroupedGemmFp8WgradArgs& args, std::int64_t row, std::int64_t column,
              std::int64_t begin, std::int64_t end) {
    const std::int64_t tokens = args.offsets[args.experts];
    const std::int64_t blocks = tiles(tokens);
    const std::uint8_t* grad = args.grad + row * tokens;
    const std::uint8_t* x = args.x + column * tokens;
    float sum = 0;
    for (std::int64_t block = begin / kTile; block < tiles(end); ++block) {
        float partial = 0;
        const std::int64_t block_end = std::min((block + 1) * kTile, end);
        for (std::int64_t i = std::max(block * kTile, begin); i < block_end; ++i) {
            partial += float_from_e4m3(grad[i]) * float_from_e4m3(x[i]);
        }
        sum += partial * args.grad_scales[row * blocks + block] *
               args.x_scales[column * blocks + block];
    }
    return sum;
}

}  // namespace

void grouped_gemm_fp8_wgrad(const GroupedGemmFp8WgradArgs& args) {
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        float* y = args.y + expert * args.m * args.n;
        for (std::int64_t row = 0; row < args.m; ++row) {
            for (std::int64_t column = 0; column < args.n; ++column) {
                y[row * args.n + column] +=
                    product(args, row, column, args.offsets[expert], args.offsets[expert + 1]);
            }
        }
    }
}

}  // namespace r1::reference
