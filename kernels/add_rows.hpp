// sums[targets[i]] += x[i], row by row in float32: outputs of experts that come home, summed where
// copies of a token meet. Rows of one call have different targets.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

struct AddRowsArgs {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    ConstMatrix x;                          // [rows, width]
    const std::int32_t* targets = nullptr;  // [rows]
    float* sums = nullptr;                  // [any, width], in and out
};

namespace reference {
void add_rows(const AddRowsArgs& args);
}
namespace cpu {
void add_rows(const AddRowsArgs& args);
}
namespace cuda {
void add_rows(const AddRowsArgs& args, const Launch& launch);
}

}  // namespace r1
