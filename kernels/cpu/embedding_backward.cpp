#include "kernels/embedding_backward.hpp"

#include <algorithm>
#include <array>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

// Columns of a task. A task goes over all tokens, so that each sum has one writer and their order.
constexpr std::int64_t kColumns = 128;

void add_columns(const EmbeddingBackwardArgs& args, std::int64_t column, std::int64_t count) {
    std::array<float, kColumns> piece;
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        load_row(args.grad, t, column, count, piece.data());
        float* to = args.table_grad + args.ids[t] * args.width + column;
        const float* from = piece.data();
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < count; ++i) {
                to[i] += from[i];
            }
        });
    }
}

}  // namespace

void embedding_backward(const EmbeddingBackwardArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        R1_CHECK(args.ids[t] >= 0 && args.ids[t] < args.vocabulary);
    }
    const std::int64_t tasks = (args.width + kColumns - 1) / kColumns;
    parallel_for(tasks, args.tokens * kColumns, [&](std::int64_t task) {
        const std::int64_t column = task * kColumns;
        add_columns(args, column, std::min(kColumns, args.width - column));
    });
}

}  // namespace r1::cpu
