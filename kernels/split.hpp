// [a | b] = x, row by row: what concat() joined.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct SplitArgs {
    std::int64_t rows = 0;
    std::int64_t a_width = 0;
    std::int64_t b_width = 0;
    ConstMatrix x;  // [rows, a_width + b_width]
    Matrix a;       // [rows, a_width]
    Matrix b;       // [rows, b_width]
};

namespace reference {
void split(const SplitArgs& args);
}
namespace cpu {
void split(const SplitArgs& args);
}
namespace cuda {
void split(const SplitArgs& args, const Launch& launch);
}

}  // namespace r1
