// y = sum of one to four terms, left to right in float32, rounded once. y may be one of them. One
// term: y is it in another storage type.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct ResidualAddArgs {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    std::int64_t term_count = 0;       // 1..4
    std::array<ConstMatrix, 4> terms;  // [rows, width]
    Matrix y;                          // [rows, width]
};

namespace reference {
void residual_add(const ResidualAddArgs& args);
}
namespace cpu {
void residual_add(const ResidualAddArgs& args);
}
namespace cuda {
void residual_add(const ResidualAddArgs& args, const Launch& launch);
}

}  // namespace r1
