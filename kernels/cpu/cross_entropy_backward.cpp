#include "kernels/cross_entropy_backward.hpp"

#include <algorithm>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

namespace {

void row_without_label(const CrossEntropyBackwardArgs& args, std::int64_t t) {
    Piece zeros{};
    for_pieces(args.vocabulary, [&](std::int64_t column, std::int64_t count) {
        store_row(args.grad, t, column, count, zeros.data());
    });
}

void labelled_row(const CrossEntropyBackwardArgs& args, std::int64_t t) {
    Piece piece;
    const float lse = args.log_sum_exp[t];
    const float scale = args.scale * (args.row_scales == nullptr ? 1.0F : args.row_scales[t]);
    const std::int64_t label = args.labels[t];
    for_pieces(args.vocabulary, [&](std::int64_t column, std::int64_t count) {
        load_row(args.logits, t, column, count, piece.data());
        float* values = piece.data();
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < count; ++i) {
                values[i] = exp_f32(values[i] - lse) * scale;
            }
        });
        if (label >= column && label < column + count) {
            const float probability = exp_f32(load(args.logits, t, label) - lse);
            values[label - column] = (probability - 1.0F) * scale;
        }
        store_row(args.grad, t, column, count, values);
    });
}

}  // namespace

void cross_entropy_backward(const CrossEntropyBackwardArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        R1_CHECK(args.labels[t] < args.vocabulary);
    }
    parallel_for(args.tokens, args.vocabulary * 4, [&](std::int64_t t) {
        args.labels[t] < 0 ? row_without_label(args, t) : labelled_row(args, t);
    });
}

}  // namespace r1::cpu
