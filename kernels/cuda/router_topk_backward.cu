// A warp a token. A block takes neighbouring tokens, so it counts the choices of few sequences.
#include "kernels/router_topk_backward.hpp"

#include "kernels/cuda/router_scores.cuh"

namespace r1::cuda {

namespace {

constexpr unsigned kWarps = 4;

// Through the weights of the chosen experts: scaling_factor * s_i, over the sum of the chosen
// scores if normalised. Experts of a token differ, so no two lanes add to one.
__device__ void through_weights(const RouterTopkBackwardArgs& p, std::int64_t t,
                                const double* scores, double* d_scores) {
    const std::int32_t* chosen = p.indices + t * p.experts_per_token;
    const float* d_weights = p.d_weights + t * p.experts_per_token;
    double sum = 0;
    double dot = 0;
    for (std::int64_t i = 0; i < p.experts_per_token; ++i) {
        sum += scores[chosen[i]];
        dot += scores[chosen[i]] * static_cast<double>(d_weights[i]);
    }
    const double scale = p.scaling_factor;
    for (std::int64_t i = threadIdx.x % kWarp; i < p.experts_per_token; i += kWarp) {
        const double d = d_weights[i];
        d_scores[chosen[i]] += p.normalize ? scale * (d - dot / sum) / sum : scale * d;
    }
}

// The gradient of alpha * sum_i f_i * mean over the sequence of s_i / sum of s.
__device__ void start_d_scores(const RouterTopkBackwardArgs& p, const int* counts, double sum,
                               const double* scores, double* d_scores) {
    const bool balanced = p.balance_alpha > 0;
    const auto f = [&](std::int64_t i) {
        return choice_frequency(counts[i], p.sequence_length, p.experts_per_token, p.experts);
    };
    double dot = 0;
    for (std::int64_t i = threadIdx.x % kWarp; balanced && i < p.experts; i += kWarp) {
        dot += scores[i] * f(i);
    }
    dot = lanes_reduce(dot, Add{});
    for (std::int64_t i = threadIdx.x % kWarp; i < p.experts; i += kWarp) {
        const double alpha =
            static_cast<double>(p.balance_alpha) / static_cast<double>(p.sequence_length);
        d_scores[i] = balanced ? alpha * (f(i) - dot / sum) / sum : 0;
    }
}

__device__ void token_backward(const RouterTopkBackwardArgs& p, std::int64_t t, const int* counts,
                               double* scores, double* d_scores) {
    const double sum = warp_scores(p.score, p.experts, p.logits + t * p.experts, scores);
    start_d_scores(p, counts, sum, scores, d_scores);
    __syncwarp();
    if (p.d_weights != nullptr) {
        through_weights(p, t, scores, d_scores);
    }
    __syncwarp();
    double dot = 0;
    for (std::int64_t i = threadIdx.x % kWarp; i < p.experts; i += kWarp) {
        dot += scores[i] * d_scores[i];
    }
    dot = lanes_reduce(dot, Add{});
    for (std::int64_t i = threadIdx.x % kWarp; i < p.experts; i += kWarp) {
        const double s = scores[i];
        const bool sigmoid = p.score == RouterScore::sigmoid;
        p.d_logits[t * p.experts + i] =
            static_cast<float>(sigmoid ? s * (1 - s) * d_scores[i] : s * (d_scores[i] - dot));
    }
    __syncwarp();  // the next token writes where this one reads
}

__global__ void router_topk_backward_kernel(RouterTopkBackwardArgs p) {
    const unsigned warp = threadIdx.x / kWarp;
    auto* scores = reinterpret_cast<double*>(dynamic_shared()) + warp * 2 * p.experts;
    auto* counts = reinterpret_cast<int*>(reinterpret_cast<double*>(dynamic_shared()) +
                                          kWarps * 2 * p.experts);
    const bool balanced = p.balance_alpha > 0;
    const std::int64_t length = balanced ? p.sequence_length : p.tokens;
    const std::int64_t end = (blockIdx.x + std::int64_t{1}) * p.tokens / gridDim.x;
    for (std::int64_t begin = blockIdx.x * p.tokens / gridDim.x; begin < end;) {
        const std::int64_t sequence = begin / length * length;
        const std::int64_t stop = std::min(end, sequence + length);
        if (balanced) {
            count_choices(p.indices + sequence * p.experts_per_token, length, p.experts_per_token,
                          p.experts, counts);
        }
        for (std::int64_t t = begin + warp; t < stop; t += kWarps) {
            token_backward(p, t, counts, scores, scores + p.experts);
        }
        begin = stop;
    }
}

}  // namespace

void router_topk_backward(const RouterTopkBackwardArgs& args, const Launch& launch) {
    R1_CHECK(args.experts <= kRouterExpertsMax && args.scaling_factor != 0);
    R1_CHECK(args.balance_alpha <= 0 ||
             (args.sequence_length > 0 && args.tokens % args.sequence_length == 0));
    const auto experts = static_cast<std::size_t>(args.experts);
    launch_kernel(router_topk_backward_kernel, grid_for(ceil_div(args.tokens, kWarps), launch),
                  dim3{kWarps * kWarp, 1, 1}, experts * (kWarps * 2 * sizeof(double) + sizeof(int)),
                  launch, args);
}

}  // namespace r1::cuda
