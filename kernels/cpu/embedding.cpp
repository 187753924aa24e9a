#include "kernels/embedding.hpp"

#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

void embedding(const EmbeddingArgs& args) {
    for (std::int64_t t = 0; t < args.tokens; ++t) {
        R1_CHECK(args.ids[t] >= 0 && args.ids[t] < args.vocabulary);
    }
    parallel_for(args.tokens, args.width, [&](std::int64_t t) {
        Piece piece;
        for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
            load_row(args.table, args.ids[t], column, count, piece.data());
            store_row(args.y, t, column, count, piece.data());
        });
    });
}

}  // namespace r1::cpu
