#include "kernels/embedding.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

__global__ void embedding_kernel(EmbeddingArgs p, Rows table, Rows y) {
    for_each_group(p.tokens, p.width, [&](std::int64_t t, std::int64_t column) {
        const std::int32_t id = p.ids[t];
        if (id < 0 || id >= p.vocabulary) {
            trap();
        }
        store_group(y, t, column, p.width, load_group(table, id, column, p.width));
    });
}

}  // namespace

void embedding(const EmbeddingArgs& args, const Launch& launch) {
    launch_kernel(embedding_kernel, grid_for_groups(args.tokens, args.width, launch),
                  dim3{kThreads, 1, 1}, 0, launch, args, rows_of(args.table), rows_of(args.y));
}

}  // namespace r1::cuda
