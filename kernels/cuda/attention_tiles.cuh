// What forward and backward attention share: tiles of rows of a head.
#pragma once

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/tile.cuh"

namespace r1::cuda {

// Matrix columns of one head, rows from `first_row`.
struct HeadRows {
    Rows rows;
    std::int64_t column = 0;
    std::int64_t first_row = 0;
};

// Group `column` of columns [first, first + width) of a row; zero for rows from `end` on.
inline __device__ Group head_group(const HeadRows& head, std::int64_t row, std::int64_t end,
                                   std::int64_t column, std::int64_t width) {
    return row < end && column < width ? load_group(head.rows, head.first_row + row,
                                                    head.column + column, head.column + width)
                                       : Group{};
}

// `count` rows from `first` on and columns [begin, begin + columns) of a head's `width`.
template <int Limbs>
__device__ void fill_rows(const SharedTile& tile, int count, const HeadRows& head,
                          std::int64_t first, std::int64_t end, std::int64_t begin, int columns,
                          std::int64_t width) {
    fill_tile<Limbs>(tile, count, columns, [&](int row, int column) {
        return head_group(head, first + row, end, begin + column, width);
    });
}

// Adds over, or takes the largest of, the four lanes that hold a row of a 16x8 result.
template <class Operation>
__device__ float row_reduce(float value, const Operation& operation) {
    return lanes_reduce(value, operation, 4);
}

}  // namespace r1::cuda
