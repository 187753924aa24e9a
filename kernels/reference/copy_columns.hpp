// Columns of a row that pass as they are.
#pragma once

#include <cstdint>

#include "kernels/matrix.hpp"

namespace r1::reference {

inline void copy_columns(const ConstMatrix& x, std::int64_t x_column, const Matrix& y,
                         std::int64_t y_column, std::int64_t row, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        store(y, row, y_column + i, load(x, row, x_column + i));
    }
}

}  // namespace r1::reference
