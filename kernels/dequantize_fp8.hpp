// E4M3 codes times their scales: activations (1x128 tiles) and weights (128x128 blocks).
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct DequantizeFp8Args {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    std::int64_t rows_per_scale = 1;      // 1: activations, 128: weights
    const std::uint8_t* codes = nullptr;  // [rows, width] e4m3
    const float* scales = nullptr;        // [ceil(rows / rows_per_scale), tiles(width)]
    Matrix y;                             // [rows, width]
};

namespace reference {
void dequantize_fp8(const DequantizeFp8Args& args);
}
namespace cpu {
void dequantize_fp8(const DequantizeFp8Args& args);
}
namespace cuda {
void dequantize_fp8(const DequantizeFp8Args& args, const Launch& launch);
}

}  // namespace r1
