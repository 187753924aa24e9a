// Columns that pass as they are.
#pragma once

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

struct Columns {
    Rows rows;
    std::int64_t first;
};

// One group of the `width` columns, which lies `column` behind the first.
inline __device__ void copy_group(const Columns& from, const Columns& to, std::int64_t row,
                                  std::int64_t column, std::int64_t width) {
    store_group(to.rows, row, to.first + column, to.first + width,
                load_group(from.rows, row, from.first + column, from.first + width));
}

inline __device__ void copy_columns(const Columns& from, const Columns& to, std::int64_t rows,
                                    std::int64_t width) {
    for_each_group(rows, width, [&](std::int64_t row, std::int64_t column) {
        copy_group(from, to, row, column, width);
    });
}

}  // namespace r1::cuda
