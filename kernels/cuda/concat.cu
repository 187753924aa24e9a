#include "kernels/concat.hpp"

#include "kernels/cuda/columns.cuh"

namespace r1::cuda {

namespace {

__global__ void concat_kernel(std::int64_t rows, std::int64_t a_width, std::int64_t b_width, Rows a,
                              Rows b, Rows y) {
    copy_columns({a, 0}, {y, 0}, rows, a_width);
    copy_columns({b, 0}, {y, a_width}, rows, b_width);
}

}  // namespace

void concat(const ConcatArgs& args, const Launch& launch) {
    launch_kernel(concat_kernel, grid_for_groups(args.rows, args.a_width + args.b_width, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args.rows, args.a_width, args.b_width,
                  rows_of(args.a), rows_of(args.b), rows_of(args.y));
}

}  // namespace r1::cuda
