#include "kernels/add_rows.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

struct AddRows {
    std::int64_t rows, width;
    Rows x;
    Rows sums;
    const std::int32_t* targets;
};

// No two rows have one target, so nobody else adds to it.
__global__ void add_rows_kernel(AddRows p) {
    for_each_group(p.rows, p.width, [&](std::int64_t row, std::int64_t column) {
        const std::int64_t target = p.targets[row];
        const Group term = load_group(p.x, row, column, p.width);
        Group sum = load_group(p.sums, target, column, p.width);
        for (int i = 0; i < kGroup; ++i) {
            sum.v[i] += term.v[i];
        }
        store_group(p.sums, target, column, p.width, sum);
    });
}

}  // namespace

void add_rows(const AddRowsArgs& args, const Launch& launch) {
    const AddRows p{args.rows, args.width, rows_of(args.x),
                    rows_of(Matrix{args.sums, DType::f32, args.width}), args.targets};
    launch_kernel(add_rows_kernel, grid_for_groups(args.rows, args.width, launch),
                  dim3{kThreads, 1, 1}, 0, launch, p);
}

}  // namespace r1::cuda
