#include "kernels/gemm_bf16.hpp"

namespace r1::reference {

void gemm_bf16(const GemmBf16Args& args) {
    for (std::int64_t row = 0; row < args.m; ++row) {
        for (std::int64_t column = 0; column < args.n; ++column) {
            double sum = 0;
            for (std::int64_t i = 0; i < args.k; ++i) {
                sum += static_cast<double>(load(args.x, row, i)) * load(args.w, column, i);
            }
            store(args.y, row, column, static_cast<float>(sum));
        }
    }
}

}  // namespace r1::reference
