#include "kernels/swiglu.hpp"

#include <algorithm>

#include "kernels/cpu/fp8_tile.hpp"
#include "kernels/cpu/parallel_for.hpp"
#include "kernels/cpu/rows.hpp"

namespace r1::cpu {

namespace {

void swiglu_row(const SwigluArgs& args, std::int64_t row) {
    const float weight = args.row_weights != nullptr ? args.row_weights[row] : 1.0F;
    Piece gates;
    Piece ups;
    for_pieces(args.width, [&](std::int64_t column, std::int64_t count) {
        load_row(args.gate_up, row, column, count, gates.data());
        load_row(args.gate_up, row, args.width + column, count, ups.data());
        const float* gate = gates.data();
        float* act = ups.data();
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < count; ++i) {
                act[i] = gate[i] / (1.0F + exp_f32(-gate[i])) * act[i];
            }
        });
        for (std::int64_t i = 0; i < count && args.codes != nullptr; i += kTile) {
            args.scales[row * tiles(args.width) + (column + i) / kTile] =
                weight * quantize_tile(act + i, std::min(kTile, count - i),
                                       args.codes + row * args.width + column + i);
        }
        if (args.y.data == nullptr) {
            return;
        }
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < count; ++i) {
                act[i] *= weight;
            }
        });
        store_row(args.y, row, column, count, act);
    });
}

}  // namespace

void swiglu(const SwigluArgs& args) {
    parallel_for(args.rows, args.width * 4, [&](std::int64_t row) { swiglu_row(args, row); });
}

}  // namespace r1::cpu
