#include "kernels/quantize_fp8.hpp"

#include <algorithm>

#include "kernels/cpu/fp8_tile.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void quantize_fp8(const QuantizeFp8Args& args) {
    parallel_for(args.rows, args.width, [&](std::int64_t row) {
        Piece piece;
        for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
            load_row(args.x, row, column, count, piece.data());
            for (std::int64_t i = 0; i < count; i += kTile) {
                args.scales[row * tiles(args.width) + (column + i) / kTile] =
                    quantize_tile(piece.data() + i, std::min(kTile, count - i),
                                  args.codes + row * args.width + column + i, args.amax_min);
            }
        });
    });
}

}  // namespace r1::cpu
