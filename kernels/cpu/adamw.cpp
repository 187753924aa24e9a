#include "kernels/adamw.hpp"

#include <algorithm>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

void update_piece(const AdamwArgs& args, const AdamwFactors& f, std::int64_t column,
                  std::int64_t count) {
    Piece exp_avg;
    Piece exp_avg_sq;
    load_row(args.exp_avg, 0, column, count, exp_avg.data());
    load_row(args.exp_avg_sq, 0, column, count, exp_avg_sq.data());
    const float* grad = args.grad + column;
    float* master = args.master + column;
    float* m = exp_avg.data();
    float* v = exp_avg_sq.data();
    const float scale = args.gradient_scale;
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) {
            const float g = scale * grad[i];
            m[i] = f.beta1 * m[i] + f.rest1 * g;
            v[i] = f.beta2 * v[i] + f.rest2 * g * g;
            const float direction =
                m[i] / f.correction1 / (std::sqrt(v[i] / f.correction2) + f.epsilon);
            master[i] = master[i] * f.decay - f.lr * direction;
        }
    });
    store_row(args.exp_avg, 0, column, count, m);
    store_row(args.exp_avg_sq, 0, column, count, v);
    if (args.updated.data != nullptr) {
        store_row(args.updated, 0, column, count, master);
    }
}

}  // namespace

void adamw(const AdamwArgs& args) {
    const AdamwFactors factors(args);
    const std::int64_t pieces = (args.elements + kPiece - 1) / kPiece;
    parallel_for(pieces, kPiece, [&](std::int64_t piece) {
        const std::int64_t column = piece * kPiece;
        update_piece(args, factors, column, std::min(kPiece, args.elements - column));
    });
}

}  // namespace r1::cpu
