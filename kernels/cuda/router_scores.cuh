// The scores of one token's experts in double, for what is differentiated or averaged.
#pragma once

#include "kernels/cuda/reduce.cuh"
#include "kernels/router_topk.hpp"

namespace r1::cuda {

// How often each expert is chosen by `length` tokens, for f of the balance loss: a block together,
// counts in shared memory. Sums of integers are the same in any order.
inline __device__ void count_choices(const std::int32_t* indices, std::int64_t length,
                                     std::int64_t experts_per_token, std::int64_t experts,
                                     int* counts) {
    __syncthreads();  // counts before may still be read
    for (std::int64_t i = threadIdx.x; i < experts; i += blockDim.x) {
        counts[i] = 0;
    }
    __syncthreads();
    for (std::int64_t i = threadIdx.x; i < length * experts_per_token; i += blockDim.x) {
        atomicAdd(counts + indices[i], 1);
    }
    __syncthreads();
}

// experts / (experts_per_token * length) for each token that chose the expert.
inline __device__ double choice_frequency(int count, std::int64_t length,
                                          std::int64_t experts_per_token, std::int64_t experts) {
    return count * (static_cast<double>(experts) /
                    (static_cast<double>(experts_per_token) * static_cast<double>(length)));
}

// By the lanes of a warp together, which receive the sum of the scores; a lane writes the experts
// that it reads.
inline __device__ double warp_scores(RouterScore score, std::int64_t experts, const float* logits,
                                     double* scores) {
    const bool sigmoid = score == RouterScore::sigmoid;
    const unsigned lane = threadIdx.x % kWarp;
    float largest = -INFINITY;
    for (std::int64_t i = lane; i < experts; i += kWarp) {
        largest = fmaxf(largest, logits[i]);
    }
    largest = lanes_reduce(largest, Max{});
    double sum = 0;
    for (std::int64_t i = lane; i < experts; i += kWarp) {
        const double x = logits[i];
        scores[i] = sigmoid ? 1 / (1 + exp(-x)) : exp(x - static_cast<double>(largest));
        sum += scores[i];
    }
    sum = lanes_reduce(sum, Add{});
    if (sigmoid) {
        return sum;
    }
    for (std::int64_t i = lane; i < experts; i += kWarp) {
        scores[i] /= sum;
    }
    return 1;
}

}  // namespace r1::cuda
