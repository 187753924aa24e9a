#include "kernels/rope_backward.hpp"

#include <algorithm>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/turns.hpp"

namespace r1::cpu {

namespace {

// Sums of the heads' gradients of the rotary key, in the order of the heads.
void sum_over_heads(const RopeBackwardArgs& args, std::int64_t t, float* sums) {
    Piece piece;
    std::fill_n(sums, args.rope_dim, 0.0F);
    for (std::int64_t head = 0; head < args.heads; ++head) {
        const std::int64_t column = head * (args.nope_dim + args.rope_dim) + args.nope_dim;
        load_row(args.k_grad, t, column, args.rope_dim, piece.data());
        const float* from = piece.data();
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < args.rope_dim; ++i) {
                sums[i] += from[i];
            }
        });
    }
}

void token_backward(const RopeBackwardArgs& args, std::int64_t t) {
    // cos is even and sin odd, to the bit: the turn back is the turn at the negative position.
    const Turns turns(-args.positions[t], args.frequencies, args.rope_dim, args.magnitude);
    for (std::int64_t head = 0; head < args.heads; ++head) {
        const std::int64_t column = head * (args.nope_dim + args.rope_dim);
        const std::int64_t rotary = column + args.nope_dim;
        const std::int64_t kv_column = head * (args.nope_dim + args.v_dim);
        copy_columns(args.q_rope_grad, t, column, args.q_grad, column, args.nope_dim);
        turns.apply(args.q_rope_grad, t, rotary, args.q_grad, rotary);
        copy_columns(args.k_grad, t, column, args.kv_grad, kv_column, args.nope_dim);
        copy_columns(args.v_grad, t, head * args.v_dim, args.kv_grad, kv_column + args.nope_dim,
                     args.v_dim);
    }
    Piece sums;
    sum_over_heads(args, t, sums.data());
    turns.turn(sums.data());
    store_row(args.k_rope_grad, t, 0, args.rope_dim, sums.data());
}

}  // namespace

void rope_backward(const RopeBackwardArgs& args) {
    R1_CHECK(args.rope_dim <= kRopeDimMax);
    parallel_for(args.tokens, args.heads * (2 * args.nope_dim + args.rope_dim + args.v_dim),
                 [&](std::int64_t t) { token_backward(args, t); });
}

}  // namespace r1::cpu
