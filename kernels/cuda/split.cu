#include "kernels/split.hpp"

#include "kernels/cuda/columns.cuh"

namespace r1::cuda {

namespace {

__global__ void split_kernel(std::int64_t rows, std::int64_t a_width, std::int64_t b_width, Rows x,
                             Rows a, Rows b) {
    copy_columns({x, 0}, {a, 0}, rows, a_width);
    copy_columns({x, a_width}, {b, 0}, rows, b_width);
}

}  // namespace

void split(const SplitArgs& args, const Launch& launch) {
    launch_kernel(split_kernel, grid_for_groups(args.rows, args.a_width + args.b_width, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args.rows, args.a_width, args.b_width,
                  rows_of(args.x), rows_of(args.a), rows_of(args.b));
}

}  // namespace r1::cuda
