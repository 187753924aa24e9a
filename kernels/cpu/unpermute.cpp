#include "kernels/unpermute.hpp"

#include <algorithm>

#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/workspace.hpp"

namespace r1::cpu {

namespace {

// The rows of token t in ascending order: order[begin[t], begin[t + 1]).
void rows_by_token(const UnpermuteArgs& args, std::int32_t* begin, std::int32_t* order) {
    std::fill_n(begin, args.received + 1, 0);
    for (std::int64_t row = 0; row < args.rows; ++row) {
        R1_CHECK(args.row_map[row] >= 0 && args.row_map[row] < args.received);
        ++begin[args.row_map[row] + 1];
    }
    for (std::int64_t t = 0; t < args.received; ++t) {
        begin[t + 1] += begin[t];
    }
    for (std::int64_t row = 0; row < args.rows; ++row) {
        order[begin[args.row_map[row]]++] = static_cast<std::int32_t>(row);
    }
    for (std::int64_t t = args.received; t > 0; --t) {
        begin[t] = begin[t - 1];
    }
    begin[0] = 0;
}

}  // namespace

std::size_t unpermute_workspace_bytes(const UnpermuteArgs& args) {
    return workspace_bytes_of<std::int32_t>(args.received + 1) +
           workspace_bytes_of<std::int32_t>(args.rows);
}

void unpermute(const UnpermuteArgs& args) {
    Carver carver(args.workspace);
    auto* begin = carver.take<std::int32_t>(args.received + 1);
    auto* order = carver.take<std::int32_t>(args.rows);
    rows_by_token(args, begin, order);
    parallel_for(args.received, args.width, [&](std::int64_t t) {
        Piece sums;
        Piece piece;
        for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
            std::fill_n(sums.data(), count, 0.0F);
            for (std::int32_t i = begin[t]; i < begin[t + 1]; ++i) {
                load_row(args.x, order[i], column, count, piece.data());
                float* to = sums.data();
                const float* from = piece.data();
                vectorized([&]() R1_INLINE {
#pragma omp simd
                    for (std::int64_t j = 0; j < count; ++j) {
                        to[j] += from[j];
                    }
                });
            }
            store_row(args.y, t, column, count, sums.data());
        });
    });
}

}  // namespace r1::cpu
