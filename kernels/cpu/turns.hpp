// The rotations of one token, shared by rope and rope_backward.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/cpu/rows.hpp"
#include "kernels/rope_table.hpp"

namespace r1::cpu {

inline constexpr std::int64_t kRopeDimMax = kPiece;

// The rotations of one token, used by all its heads.
class Turns {
public:
    Turns(std::int32_t position, const float* frequencies, std::int64_t dim, float magnitude)
        : dim_(dim) {
        for (std::int64_t j = 0; j < dim / 2; ++j) {
            turns_[static_cast<std::size_t>(j)] = rotation(position, frequencies[j], magnitude);
        }
    }

    // Rotates `dim` values in place.
    void turn(float* values) const {
        for (std::int64_t j = 0; j < dim_ / 2; ++j) {
            const Rotation turn = turns_[static_cast<std::size_t>(j)];
            float* pair = values + 2 * j;
            const float a = pair[0];
            const float b = pair[1];
            pair[0] = a * turn.cos - b * turn.sin;
            pair[1] = a * turn.sin + b * turn.cos;
        }
    }

    // Rotates the columns at `column` of a row of x into y's at `target`.
    void apply(const ConstMatrix& x, std::int64_t row, std::int64_t column, const Matrix& y,
               std::int64_t target) const {
        Piece piece;
        load_row(x, row, column, dim_, piece.data());
        turn(piece.data());
        store_row(y, row, target, dim_, piece.data());
    }

private:
    std::int64_t dim_;
    std::array<Rotation, kRopeDimMax / 2> turns_;
};

}  // namespace r1::cpu
