#include "kernels/rope.hpp"

#include "kernels/reference/copy_columns.hpp"
#include "kernels/rope_table.hpp"

namespace r1::reference {

namespace {

// Rotates the pairs of `dim` columns of a row of x into y.
void rotate(const ConstMatrix& x, std::int64_t x_column, const Matrix& y, std::int64_t y_column,
            std::int64_t row, std::int64_t dim, std::int32_t position, const float* frequencies,
            float magnitude) {
    for (std::int64_t j = 0; j < dim / 2; ++j) {
        const Rotation turn = rotation(position, frequencies[j], magnitude);
        const float a = load(x, row, x_column + 2 * j);
        const float b = load(x, row, x_column + 2 * j + 1);
        store(y, row, y_column + 2 * j, a * turn.cos - b * turn.sin);
        store(y, row, y_column + 2 * j + 1, a * turn.sin + b * turn.cos);
    }
}

}  // namespace

void rope(const RopeArgs& args) {
    const std::int64_t qk_dim = args.nope_dim + args.rope_dim;
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        for (std::int64_t head = 0; head < args.heads; ++head) {
            const std::int64_t column = head * qk_dim;
            if (args.q_rope.data != nullptr) {
                copy_columns(args.q, column, args.q_rope, column, t, args.nope_dim);
                rotate(args.q, column + args.nope_dim, args.q_rope, column + args.nope_dim, t,
                       args.rope_dim, args.positions[t], args.frequencies, args.magnitude);
            }
            if (args.k.data != nullptr) {
                copy_columns(args.kv, head * (args.nope_dim + args.v_dim), args.k, column, t,
                             args.nope_dim);
                if (args.keys_rotated) {
                    copy_columns(args.kv_a, args.kv_lora_rank, args.k, column + args.nope_dim, t,
                                 args.rope_dim);
                } else {
                    rotate(args.kv_a, args.kv_lora_rank, args.k, column + args.nope_dim, t,
                           args.rope_dim, args.positions[t], args.frequencies, args.magnitude);
                }
            }
        }
    }
}

void rope_latent(const RopeLatentArgs& args) {
    for (std::int64_t t = 0; t < args.sequences * args.tokens; ++t) {
        R1_CHECK(args.positions[t] >= 0 && args.positions[t] < args.cache_rows);
        const Matrix row = rows_from(args.latent, args.cache_row(t));
        copy_columns(rows_from(args.kv_a_norm, t), 0, row, 0, 0, args.kv_lora_rank);
        rotate(rows_from(args.kv_a, t), args.kv_lora_rank, row, args.kv_lora_rank, 0, args.rope_dim,
               args.positions[t], args.frequencies, args.magnitude);
    }
}

}  // namespace r1::reference
