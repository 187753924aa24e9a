#include "kernels/rope.hpp"

#include <array>

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/rope_table.hpp"

namespace r1::cpu {

namespace {

constexpr std::int64_t kRopeDimMax = kPiece;

// The rotations of one token, used by all its heads.
class Turns {
public:
    Turns(std::int32_t position, const float* frequencies, std::int64_t dim, float magnitude)
        : dim_(dim) {
        for (std::int64_t j = 0; j < dim / 2; ++j) {
            turns_[static_cast<std::size_t>(j)] = rotation(position, frequencies[j], magnitude);
        }
    }

    // Rotates the columns at `column` of a row of x into y's at `target`.
    void apply(const ConstMatrix& x, std::int64_t row, std::int64_t column, const Matrix& y,
               std::int64_t target) const {
        Piece piece;
        load_row(x, row, column, dim_, piece.data());
        for (std::int64_t j = 0; j < dim_ / 2; ++j) {
            const Rotation turn = turns_[static_cast<std::size_t>(j)];
            float* pair = piece.data() + 2 * j;
            const float a = pair[0];
            const float b = pair[1];
            pair[0] = a * turn.cos - b * turn.sin;
            pair[1] = a * turn.sin + b * turn.cos;
        }
        store_row(y, row, target, dim_, piece.data());
    }

private:
    std::int64_t dim_;
    std::array<Rotation, kRopeDimMax / 2> turns_;
};

void copy(const ConstMatrix& x, std::int64_t row, std::int64_t column, const Matrix& y,
          std::int64_t target, std::int64_t width) {
    Piece piece;
    for_pieces(width, [&](std::int64_t at, std::int64_t count) {
        load_row(x, row, column + at, count, piece.data());
        store_row(y, row, target + at, count, piece.data());
    });
}

void rope_token(const RopeArgs& args, std::int64_t t) {
    const bool rotates = args.q_rope.data != nullptr || !args.keys_rotated;
    const Turns turns(rotates ? args.positions[t] : 0, args.frequencies,
                      rotates ? args.rope_dim : 0, args.magnitude);
    for (std::int64_t head = 0; head < args.heads; ++head) {
        const std::int64_t column = head * (args.nope_dim + args.rope_dim);
        const std::int64_t rope_column = column + args.nope_dim;
        if (args.q_rope.data != nullptr) {
            copy(args.q, t, column, args.q_rope, column, args.nope_dim);
            turns.apply(args.q, t, rope_column, args.q_rope, rope_column);
        }
        if (args.k.data == nullptr) {
            continue;
        }
        copy(args.kv, t, head * (args.nope_dim + args.v_dim), args.k, column, args.nope_dim);
        if (args.keys_rotated) {
            copy(args.kv_a, t, args.kv_lora_rank, args.k, rope_column, args.rope_dim);
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
    parallel_for(args.tokens, args.kv_lora_rank + args.rope_dim, [&](std::int64_t t) {
        copy(args.kv_a_norm, t, 0, args.latent, 0, args.kv_lora_rank);
        const Turns turns(args.positions[t], args.frequencies, args.rope_dim, args.magnitude);
        turns.apply(args.kv_a, t, args.kv_lora_rank, args.latent, args.kv_lora_rank);
    });
}

}  // namespace r1::cpu
