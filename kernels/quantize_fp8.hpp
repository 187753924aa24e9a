// Activations and gradients to E4M3 in 1x128 tiles (arXiv 2412.19437, sec. 3.3.2):
// scale = max(amax, amax_min) / 448, code = round-to-nearest-even(x / scale).
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

// Of activations and weights: the official model's.
inline constexpr float kQuantizeAmaxMin = 1e-4F;
// Of gradients. A loss that is the mean over a batch makes them smaller than 1e-4, and the floor
// for activations would round them to nothing; this one keeps the scale a normal number.
inline constexpr float kGradientAmaxMin = kE4m3Max * std::numeric_limits<float>::min();

struct QuantizeFp8Args {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    ConstMatrix x;                  // [rows, width]
    std::uint8_t* codes = nullptr;  // [rows, width] e4m3
    float* scales = nullptr;        // [rows, tiles(width)]
    float amax_min = kQuantizeAmaxMin;
};

namespace reference {
void quantize_fp8(const QuantizeFp8Args& args);
}
namespace cpu {
void quantize_fp8(const QuantizeFp8Args& args);
}
namespace cuda {
void quantize_fp8(const QuantizeFp8Args& args, const Launch& launch);
}

}  // namespace r1
