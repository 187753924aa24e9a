#include "kernels/gemm_bf16.hpp"

#include "model/base/check.hpp"

namespace r1::reference {

void gemm_bf16(const GemmBf16Args& args) {
    R1_CHECK(!args.accumulate || args.y.dtype == DType::f32);
    for (std::int64_t row = 0; row < args.m; ++row) {
        for (std::int64_t column = 0; column < args.n; ++column) {
            double sum = 0;
            for (std::int64_t i = 0; i < args.k; ++i) {
                const float weight =
                    args.w_transposed ? load(args.w, i, column) : load(args.w, column, i);
                sum += static_cast<double>(load(args.x, row, i)) * weight;
            }
            if (args.accumulate) {
                sum += load(args.y, row, column);
            }
            store(args.y, row, column, static_cast<float>(sum));
        }
    }
}

}  // namespace r1::reference
