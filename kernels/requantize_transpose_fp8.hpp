// Activations and gradients for the products over tokens (weight gradients): transposed, and in
// FP8 with 1x128 tiles along the rows instead of 1x128 tiles along the columns (arXiv 2412.19437,
// sec. 3.3.3). The rule of quantisation is that of quantize_fp8.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"
#include "kernels/quantize_fp8.hpp"

namespace r1 {

struct RequantizeTransposeFp8Args {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    // The input: codes with scales, or x where codes is null.
    const std::uint8_t* codes = nullptr;  // [rows, width] e4m3
    const float* scales = nullptr;        // [rows, tiles(width)]
    ConstMatrix x;                        // [rows, width], f32 or bf16
    // The outputs, each where it is not null. Runs that do not simulate FP8 take y.
    std::uint8_t* transposed_codes = nullptr;  // [width, rows] e4m3
    float* transposed_scales = nullptr;        // [width, tiles(rows)], with the codes
    float amax_min = kQuantizeAmaxMin;
    Matrix y;  // [width, rows], the values as they are
};

namespace reference {
void requantize_transpose_fp8(const RequantizeTransposeFp8Args& args);
}
namespace cpu {
void requantize_transpose_fp8(const RequantizeTransposeFp8Args& args);
}
namespace cuda {
void requantize_transpose_fp8(const RequantizeTransposeFp8Args& args, const Launch& launch);
}

}  // namespace r1
