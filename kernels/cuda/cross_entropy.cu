#include "kernels/cross_entropy.hpp"

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

namespace {

// Sum of e^(x - largest) over the elements seen.
struct SoftmaxSum {
    float largest = -INFINITY;
    float sum = 0;
};

struct Merge {
    __device__ SoftmaxSum operator()(const SoftmaxSum& a, const SoftmaxSum& b) const {
        const float largest = fmaxf(a.largest, b.largest);
        if (largest == -INFINITY) {
            return {largest, a.sum + b.sum};
        }
        return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
    }
};

// Row by row, a block each, in one pass over the logits.
__global__ void cross_entropy_kernel(CrossEntropyArgs p, Rows logits) {
    for (std::int64_t t = blockIdx.x; t < p.tokens; t += gridDim.x) {
        SoftmaxSum own;
        for (std::int64_t column = threadIdx.x * kGroup; column < p.vocabulary;
             column += blockDim.x * kGroup) {
            const Group group = load_group(logits, t, column, p.vocabulary);
            const int count =
                static_cast<int>(std::min(std::int64_t{kGroup}, p.vocabulary - column));
            SoftmaxSum added;
            for (int i = 0; i < count; ++i) {
                added.largest = fmaxf(added.largest, group.v[i]);
            }
            for (int i = 0; i < count; ++i) {
                added.sum += added.largest == -INFINITY && group.v[i] == -INFINITY
                                 ? 0
                                 : expf(group.v[i] - added.largest);
            }
            own = Merge{}(own, added);
        }
        const SoftmaxSum all = block_reduce(own, Merge{});
        if (threadIdx.x == 0) {
            const std::int32_t label = p.labels[t];
            if (label >= p.vocabulary) {
                trap();
            }
            const double lse = all.largest + log(static_cast<double>(all.sum));
            p.log_sum_exp[t] = static_cast<float>(lse);
            p.nll[t] =
                label < 0
                    ? 0.0F
                    : static_cast<float>(lse - static_cast<double>(element(logits, t, label)));
        }
    }
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args, const Launch& launch) {
    constexpr unsigned kRowThreads = 512;
    launch_kernel(cross_entropy_kernel, grid_for(args.tokens, launch), dim3{kRowThreads, 1, 1}, 0,
                  launch, args, rows_of(args.logits));
}

}  // namespace r1::cuda
