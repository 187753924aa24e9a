#include "kernels/swiglu.hpp"

#include "kernels/cuda/fp8.cuh"
#include "kernels/cuda/swiglu.cuh"
#include "kernels/quantize_fp8.hpp"

namespace r1::cuda {

namespace {

struct Swiglu {
    SwigluArgs args;
    Rows gate_up, y;
};

__global__ void swiglu_kernel(Swiglu p) {
    const SwigluArgs& a = p.args;
    for_each_tile(a.rows, a.width, [&](std::int64_t row, std::int64_t tile, std::int64_t column) {
        const bool is_row = row < a.rows;
        const std::int64_t end = is_row ? a.width : 0;
        const std::int64_t from = is_row ? row : 0;
        const Group gate = load_group(p.gate_up, from, column, end);
        const Group up = load_group(p.gate_up, from, a.width + column, a.width + end);
        const float weight = is_row && a.row_weights != nullptr ? a.row_weights[row] : 1.0F;
        Group act;
        for (int i = 0; i < kGroup; ++i) {
            act.v[i] = column + i < end ? swiglu_of(gate.v[i], up.v[i]) : 0.0F;
        }
        if (a.codes != nullptr) {
            const float scale = quantize_tile(act, a.codes + row * a.width + column, end - column,
                                              kQuantizeAmaxMin);
            if (is_row && threadIdx.x % kTileLanes == 0) {
                a.scales[row * tiles(a.width) + tile] = scale * weight;
            }
        }
        if (is_row && a.y.data != nullptr) {
            for (float& value : act.v) {
                value *= weight;
            }
            store_group(p.y, row, column, a.width, act);
        }
    });
}

}  // namespace

void swiglu(const SwigluArgs& args, const Launch& launch) {
    launch_kernel(swiglu_kernel, grid_for_tiles(args.rows, args.width, launch),
                  dim3{kThreads, 1, 1}, 0, launch,
                  Swiglu{args, rows_of(args.gate_up), rows_of(args.y)});
}

}  // namespace r1::cuda
