#include "kernels/residual_add.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

struct ResidualAdd {
    std::int64_t rows, width;
    int terms;
    Rows term[4];
    Rows y;
};

__global__ void residual_add_kernel(ResidualAdd p) {
    for_each_group(p.rows, p.width, [&](std::int64_t row, std::int64_t column) {
        Group sum = load_group(p.term[0], row, column, p.width);
        for (int i = 1; i < p.terms; ++i) {
            const Group next = load_group(p.term[i], row, column, p.width);
            for (int j = 0; j < kGroup; ++j) {
                sum.v[j] += next.v[j];
            }
        }
        store_group(p.y, row, column, p.width, sum);
    });
}

}  // namespace

void residual_add(const ResidualAddArgs& args, const Launch& launch) {
    R1_CHECK(args.term_count >= 1 && args.term_count <= 4);
    ResidualAdd p{args.rows, args.width, static_cast<int>(args.term_count), {}, rows_of(args.y)};
    for (int i = 0; i < p.terms; ++i) {
        p.term[i] = rows_of(args.terms[static_cast<std::size_t>(i)]);
    }
    launch_kernel(residual_add_kernel, grid_for_groups(args.rows, args.width, launch),
                  dim3{kThreads, 1, 1}, 0, launch, p);
}

}  // namespace r1::cuda
