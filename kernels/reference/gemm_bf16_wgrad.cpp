#include "kernels/gemm_bf16_wgrad.hpp"

namespace r1::reference {

void gemm_bf16_wgrad(const GemmBf16WgradArgs& args) {
    for (std::int64_t row = 0; row < args.m; ++row) {
        for (std::int64_t column = 0; column < args.n; ++column) {
            double sum = 0;
            for (std::int64_t token = 0; token < args.k; ++token) {
                sum +=
                    static_cast<double>(load(args.grad, token, row)) * load(args.x, token, column);
            }
            float& y = args.y[row * args.n + column];
            y = static_cast<float>(y + sum);
        }
    }
}

}  // namespace r1::reference
