// A block a sequence; its warps take turns with the tokens, and their sums are added in order.
#include "kernels/sequence_balance.hpp"

#include "kernels/cuda/router_scores.cuh"

namespace r1::cuda {

namespace {

constexpr unsigned kBalanceWarps = 8;

// Adds the shares of the warp's tokens to p.
__device__ void add_tokens(const SequenceBalanceArgs& a, std::int64_t first, double* scores,
                           double* p) {
    const unsigned lane = threadIdx.x % kWarp;
    for (std::int64_t i = lane; i < a.experts; i += kWarp) {
        p[i] = 0;
    }
    for (std::int64_t t = threadIdx.x / kWarp; t < a.sequence_length; t += kBalanceWarps) {
        const double sum =
            warp_scores(a.score, a.experts, a.logits + (first + t) * a.experts, scores);
        for (std::int64_t i = lane; i < a.experts; i += kWarp) {
            p[i] += scores[i] / sum / static_cast<double>(a.sequence_length);
        }
    }
}

__global__ void sequence_balance_kernel(SequenceBalanceArgs a) {
    auto* scores = reinterpret_cast<double*>(dynamic_shared());  // [warps, experts]
    auto* shares = scores + kBalanceWarps * a.experts;           // [warps, experts] of p
    auto* counts = reinterpret_cast<int*>(shares + kBalanceWarps * a.experts);
    for (std::int64_t sequence = blockIdx.x; sequence < a.tokens / a.sequence_length;
         sequence += gridDim.x) {
        const std::int64_t first = sequence * a.sequence_length;
        const std::int64_t offset = threadIdx.x / kWarp * a.experts;
        count_choices(a.indices + first * a.experts_per_token, a.sequence_length,
                      a.experts_per_token, a.experts, counts);
        add_tokens(a, first, scores + offset, shares + offset);
        __syncthreads();
        double dot = 0;
        for (std::int64_t i = threadIdx.x; i < a.experts; i += blockDim.x) {
            double p = 0;
            for (unsigned warp = 0; warp < kBalanceWarps; ++warp) {
                p += shares[warp * a.experts + i];
            }
            const double f =
                choice_frequency(counts[i], a.sequence_length, a.experts_per_token, a.experts);
            a.f[sequence * a.experts + i] = static_cast<float>(f);
            a.p[sequence * a.experts + i] = static_cast<float>(p);
            dot += f * p;
        }
        dot = block_reduce(dot, Add{});
        if (threadIdx.x == 0) {
            a.loss[sequence] = static_cast<float>(static_cast<double>(a.alpha) * dot);
        }
    }
}

}  // namespace

void sequence_balance(const SequenceBalanceArgs& args, const Launch& launch) {
    R1_CHECK(args.experts <= kRouterExpertsMax);
    R1_CHECK(args.sequence_length > 0 && args.tokens % args.sequence_length == 0);
    const auto experts = static_cast<std::size_t>(args.experts);
    launch_kernel(sequence_balance_kernel, grid_for(args.tokens / args.sequence_length, launch),
                  dim3{kBalanceWarps * kWarp, 1, 1},
                  experts * (kBalanceWarps * 2 * sizeof(double) + sizeof(int)), launch, args);
}

}  // namespace r1::cuda
