#include "kernels/swiglu.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/quantize_fp8.hpp"

namespace r1::reference {

namespace {

float activation(const SwigluArgs& args, std::int64_t row, std::int64_t i) {
    const double gate = load(args.gate_up, row, i);
    const double up = load(args.gate_up, row, args.width + i);
    return static_cast<float>(gate / (1 + std::exp(-gate)) * up);
}

void quantize_tile(const SwigluArgs& args, std::int64_t row, std::int64_t tile, float weight) {
    const std::int64_t begin = tile * kTile;
    const std::int64_t end = std::min(begin + kTile, args.width);
    float amax = kQuantizeAmaxMin;
    for (std::int64_t i = begin; i < end; ++i) {
        amax = std::max(amax, std::abs(activation(args, row, i)));
    }
    const float scale = amax / kE4m3Max;
    args.scales[row * tiles(args.width) + tile] = scale * weight;
    for (std::int64_t i = begin; i < end; ++i) {
        args.codes[row * args.width + i] = e4m3_from_float(activation(args, row, i) / scale);
    }
}

}  // namespace

void swiglu(const SwigluArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        const float weight = args.row_weights != nullptr ? args.row_weights[row] : 1.0F;
        for (std::int64_t i = 0; i < args.width && args.y.data != nullptr; ++i) {
            store(args.y, row, i, activation(args, row, i) * weight);
        }
        for (std::int64_t tile = 0; tile < tiles(args.width) && args.codes != nullptr; ++tile) {
            quantize_tile(args, row, tile, weight);
        }
    }
}

}  // namespace r1::reference
