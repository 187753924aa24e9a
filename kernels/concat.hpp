// y = [a | b], row by row.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct ConcatArgs {
    std::int64_t rows = 0;
    std::int64_t a_width = 0;
    std::int64_t b_width = 0;
    ConstMatrix a;  // [rows, a_width]
    ConstMatrix b;  // [rows, b_width]
    Matrix y;       // [rows, a_width + b_width]
};

namespace reference {
void concat(const ConcatArgs& args);
}
namespace cpu {
void concat(const ConcatArgs& args);
}
namespace cuda {
void concat(const ConcatArgs& args, const Launch& launch);
}

}  // namespace r1
