#include "kernels/grouped_gemm_bf16.hpp"

namespace r1::reference {

void grouped_gemm_bf16(const GroupedGemmBf16Args& args) {
    for (std::int64_t expert = 0; expert < args.experts; ++expert) {
        for (std::int64_t row = args.offsets[expert]; row < args.offsets[expert + 1]; ++row) {
            for (std::int64_t column = 0; column < args.n; ++column) {
                double sum = 0;
                for (std::int64_t i = 0; i < args.k; ++i) {
                    const float weight = args.w_transposed
                                             ? load(args.w, expert * args.k + i, column)
                                             : load(args.w, expert * args.n + column, i);
                    sum += static_cast<double>(load(args.x, row, i)) * weight;
                }
                store(args.y, row, column, static_cast<float>(sum));
            }
        }
    }
}

}  // namespace r1::reference
