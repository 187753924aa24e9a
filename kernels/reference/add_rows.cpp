#include "kernels/add_rows.hpp"

namespace r1::reference {

void add_rows(const AddRowsArgs& args) {
    for (std::int64_t row = 0; row < args.rows; ++row) {
        float* sum = args.sums + args.targets[row] * args.width;
        for (std::int64_t column = 0; column < args.width; ++column) {
            sum[column] += load(args.x, row, column);
        }
    }
}

}  // namespace r1::reference
