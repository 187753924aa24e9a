// The 12-bit format that attention outputs are kept in for the backward pass under FP8
// (arXiv 2412.19437, sec. 3.3.3): sign, 5 exponent bits (bias 15), 6 mantissa bits, round to
// nearest even, saturating. Two values take three bytes, the first in the low bits; the matrix is
// packed as one flat array of rows * width values.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct QuantizeE5m6Args {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    ConstMatrix x;                   // [rows, width]
    std::uint8_t* packed = nullptr;  // [ceil(rows * width * 1.5)] bytes
};
struct DequantizeE5m6Args {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    const std::uint8_t* packed = nullptr;  // [ceil(rows * width * 1.5)] bytes
    Matrix y;                              // [rows, width]
};

namespace reference {
void quantize_e5m6(const QuantizeE5m6Args& args);
void dequantize_e5m6(const DequantizeE5m6Args& args);
}  // namespace reference
namespace cpu {
void quantize_e5m6(const QuantizeE5m6Args& args);
void dequantize_e5m6(const DequantizeE5m6Args& args);
}  // namespace cpu
namespace cuda {
void quantize_e5m6(const QuantizeE5m6Args& args, const Launch& launch);
void dequantize_e5m6(const DequantizeE5m6Args& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
