#include "kernels/cross_entropy_backward.hpp"

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

namespace {

__global__ void cross_entropy_backward_kernel(CrossEntropyBackwardArgs p, Rows logits, Rows grad) {
    for_each_group(p.tokens, p.vocabulary, [&](std::int64_t t, std::int64_t column) {
        const std::int32_t label = p.labels[t];
        if (label >= p.vocabulary) {
            trap();
        }
        Group group{};
        if (label >= 0) {
            const float scale = p.scale * (p.row_scales == nullptr ? 1.0F : p.row_scales[t]);
            group = load_group(logits, t, column, p.vocabulary);
            for (int i = 0; i < kGroup; ++i) {
                const float probability = expf(group.v[i] - p.log_sum_exp[t]);
                group.v[i] = scale * (probability - (column + i == label ? 1.0F : 0.0F));
            }
        }
        store_group(grad, t, column, p.vocabulary, group);
    });
}

}  // namespace

void cross_entropy_backward(const CrossEntropyBackwardArgs& args, const Launch& launch) {
    launch_kernel(cross_entropy_backward_kernel,
                  grid_for_groups(args.tokens, args.vocabulary, launch), dim3{kThreads, 1, 1}, 0,
                  launch, args, rows_of(args.logits), rows_of(args.grad));
}

}  // namespace r1::cuda
