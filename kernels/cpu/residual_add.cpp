#include "kernels/residual_add.hpp"

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void residual_add(const ResidualAddArgs& args) {
    R1_CHECK(args.term_count >= 1 && args.term_count <= 4);
    parallel_for(args.rows, args.width, [&](std::int64_t row) {
        Piece sums;
        Piece piece;
        for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
            load_row(args.terms[0], row, column, count, sums.data());
            for (std::int64_t term = 1; term < args.term_count; ++term) {
                load_row(args.terms[static_cast<std::size_t>(term)], row, column, count,
                         piece.data());
                float* to = sums.data();
                const float* from = piece.data();
                vectorized([&]() R1_INLINE {
#pragma omp simd
                    for (std::int64_t i = 0; i < count; ++i) {
                        to[i] += from[i];
                    }
                });
            }
            store_row(args.y, row, column, count, sums.data());
        });
    });
}

}  // namespace r1::cpu
