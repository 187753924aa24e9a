// Weights to E4M3 in 128x128 blocks (arXiv 2412.19437, sec. 3.3.2), the blocks at the edges
// partial. The rule is that of quantize_fp8, for a block: scale = max(amax, 1e-4) / 448, code =
// round-to-nearest-even(x / scale).
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct QuantizeWeightFp8Args {
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    ConstMatrix x;                  // [rows, columns]
    std::uint8_t* codes = nullptr;  // [rows, columns] e4m3
    float* scales = nullptr;        // [tiles(rows), tiles(columns)]
};

namespace reference {
void quantize_weight_fp8(const QuantizeWeightFp8Args& args);
}
namespace cpu {
void quantize_weight_fp8(const QuantizeWeightFp8Args& args);
}
namespace cuda {
void quantize_weight_fp8(const QuantizeWeightFp8Args& args, const Launch& launch);
}

}  // namespace r1
