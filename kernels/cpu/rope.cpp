#include "kernels/rope.hpp"

#include <algorithm>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/turns.hpp"

namespace r1::cpu {

namespace {

void rope_token(const RopeArgs& args, std::int64_t t) {
    const bool rotates = args.q_rope.data != nullptr || !args.keys_rotated;
    const Turns turns(rotates ? args.positions[t] : 0, args.frequencies,
                      rotates ? args.rope_dim : 0, args.magnitude);
    for (std::int64_t head = 0; head < args.heads; ++head) {
        const std::int64_t column = head * (args.nope_dim + args.rope_dim);
        const std::int64_t rope_column = column + args.nope_dim;
        if (args.q_rope.data != nullptr) {
            copy_columns(args.q, t, column, args.q_rope, column, args.nope_dim);
            turns.apply(args.q, t, rope_column, args.q_rope, rope_column);
        }
        if (args.k.data == nullptr) {
            continue;
        }
        copy_columns(args.kv, t, head * (args.nope_dim + args.v_dim), args.k, column,
                     args.nope_dim);
        if (args.keys_rotated) {
            copy_columns(args.kv_a, t, args.kv_lora_rank, args.k, rope_column, args.rope_dim);
        } else {
            turns.apply(args.kv_a, t, args.kv_lora_rank, args.k, rope_column);
        }
    }
}

}  // namespace

void rope(const RopeArgs& args) {
    R1_CHECK(args.rope_dim <= kRopeDimMax);
    parallel_for(args.tokens, args.heads * (args.nope_dim + args.rope_dim),
                 [&](std::int64_t t) { rope_token(args, t); });
}

void rope_latent(const RopeLatentArgs& args) {
    R1_CHECK(args.rope_dim <= kRopeDimMax);
    const std::int64_t all = args.sequences * args.tokens;
    R1_CHECK(std::all_of(args.positions, args.positions + all, [&](std::int32_t position) {
        return position >= 0 && position < args.cache_rows;
    }));
    parallel_for(all, args.kv_lora_rank + args.rope_dim, [&](std::int64_t t) {
        const Matrix row = rows_from(args.latent, args.cache_row(t));
        copy_columns(rows_from(args.kv_a_norm, t), 0, 0, row, 0, args.kv_lora_rank);
        const Turns turns(args.positions[t], args.frequencies, args.rope_dim, args.magnitude);
        turns.apply(rows_from(args.kv_a, t), 0, args.kv_lora_rank, row, args.kv_lora_rank);
    });
}

}  // namespace r1::cpu
