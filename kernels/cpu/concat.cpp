#include "kernels/concat.hpp"

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

void copy(const ConstMatrix& x, std::int64_t row, std::int64_t width, const Matrix& y,
          std::int64_t target) {
    Piece piece;
    for_pieces(width, [&](std::int64_t column, std::int64_t count) {
        load_row(x, row, column, count, piece.data());
        store_row(y, row, target + column, count, piece.data());
    });
}

}  // namespace

void concat(const ConcatArgs& args) {
    parallel_for(args.rows, args.a_width + args.b_width, [&](std::int64_t row) {
        copy(args.a, row, args.a_width, args.y, 0);
        copy(args.b, row, args.b_width, args.y, args.a_width);
    });
}

}  // namespace r1::cpu
