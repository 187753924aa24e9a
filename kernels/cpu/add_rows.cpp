#include "kernels/add_rows.hpp"

#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

// In the calling thread: it adds what another rank sent while other streams compute.
void add_rows(const AddRowsArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        float* sum = args.sums + args.targets[row] * args.width;
        for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
            Piece piece;
            load_row(args.x, row, column, count, piece.data());
            for (std::int64_t i = 0; i < count; ++i) {
                sum[column + i] += piece[static_cast<std::size_t>(i)];
            }
        });
    }
}

}  // namespace r1::cpu
