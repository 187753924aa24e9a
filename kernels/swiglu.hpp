// y = silu(gate) * up, times a weight of the row if given. Optionally quantised as quantize_fp8
// does; the row's weight then goes into the scales, so that the codes do not depend on it.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct SwigluArgs {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    ConstMatrix gate_up;                 // [rows, 2 * width], gates first
    const float* row_weights = nullptr;  // [rows] or nullptr
    Matrix y;                            // [rows, width] f32 or bf16; no data: not wanted
    std::uint8_t* codes = nullptr;       // [rows, width] e4m3 or nullptr
    float* scales = nullptr;             // [rows, tiles(width)], with codes
};

namespace reference {
void swiglu(const SwigluArgs& args);
}
namespace cpu {
void swiglu(const SwigluArgs& args);
}
namespace cuda {
void swiglu(const SwigluArgs& args, const Launch& launch);
}

}  // namespace r1
