#include "kernels/grouped_gemm_bf16_wgrad.hpp"

namespace r1::reference {

void grouped_gemm_bf16_wgrad(const GroupedGemmBf16WgradArgs& args) {
    const auto value = [&](const ConstMatrix& matrix, std::int64_t token, std::int64_t i) {
        return args.transposed ? load(matrix, i, token) : load(matrix, token, i);
    };
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        for (std::int64_t row = 0; row < args.m; ++row) {
            for (std::int64_t column = 0; column < args.n; ++column) {
                double sum = 0;
                for (std::int64_t i = args.offsets[expert]; i < args.offsets[expert + 1]; ++i) {
                    sum += static_cast<double>(value(args.grad, i, row)) * value(args.x, i, column);
                }
                float& y = args.y[(expert * args.m + row) * args.n + column];
                y = static_cast<float>(y + sum);
            }
        }
    }
}

}  // namespace r1::reference
