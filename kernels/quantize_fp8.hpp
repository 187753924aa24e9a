// Activations to E4M3 in 1x128 tiles (arXiv 2412.19437, sec. 3.3.2): scale = max(amax, 1e-4) / 448,
// code = round-to-nearest-even(x / scale).
#pragma once

#include <cstdint>

#include "kernels/matrix.hpp"

namespace r1 {

inline constexpr float kQuantizeAmaxMin = 1e-4F;

struct QuantizeFp8Args {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    ConstMatrix x;                  // [rows, width]
    std::uint8_t* codes = nullptr;  // [rows, width] e4m3
    float* scales = nullptr;        // [rows, tiles(width)]
};

namespace reference {
void quantize_fp8(const QuantizeFp8Args& args);
}
namespace cpu {
void quantize_fp8(const QuantizeFp8Args& args);
}

}  // namespace r1
