// A warp a token; scores and choices lie in shared memory, experts 32 apart are one lane's.
#include "kernels/router_topk.hpp"

#include <cmath>
#include <limits>

#include "kernels/cuda/reduce.cuh"

namespace r1::cuda {

namespace {

constexpr unsigned kTokensPerBlock = 4;
constexpr int kLanes = static_cast<int>(kWarp);
constexpr int kNone = std::numeric_limits<int>::max();

// As the C++ versions round it: a choice hangs on the last bit.
__device__ float rounded_exp(float x) { return static_cast<float>(exp(static_cast<double>(x))); }

// The best of some experts; ties go to the smaller index.
struct Candidate {
    float value = -INFINITY;
    int index = kNone;  // none yet
};

struct Better {
    __device__ Candidate operator()(const Candidate& a, const Candidate& b) const {
        const bool is_b = b.value > a.value || (b.value == a.value && b.index < a.index);
        return is_b ? b : a;
    }
};

// Of [begin, end), without those that are NaN: they are taken. -1 if all are.
__device__ int best_of(const float* values, int begin, int end) {
    Candidate own;
    for (int i = begin + static_cast<int>(threadIdx.x % kWarp); i < end; i += kLanes) {
        if (!std::isnan(values[i])) {
            own = Better{}(own, {values[i], i});
        }
    }
    const Candidate all = lanes_reduce(own, Better{});
    return all.index == kNone ? -1 : all.index;
}

// Marks the best as taken and returns it.
__device__ int take_best(float* values, int begin, int end) {
    const int winner = best_of(values, begin, end);
    __syncwarp();
    if (threadIdx.x % kWarp == 0 && winner >= 0) {
        values[winner] = NAN;
    }
    __syncwarp();
    return winner;
}

__device__ void compute_scores(const RouterTopkArgs& p, const float* logits, float* scores) {
    const int experts = static_cast<int>(p.experts);
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    float largest = -INFINITY;
    for (int i = lane; i < experts; i += kLanes) {
        largest = fmaxf(largest, logits[i]);
    }
    largest = lanes_reduce(largest, Max{});
    float sum = 0;
    for (int i = lane; i < experts; i += kLanes) {
        scores[i] = p.score == RouterScore::sigmoid ? 1.0F / (1.0F + rounded_exp(-logits[i]))
                                                    : rounded_exp(logits[i] - largest);
        sum += scores[i];
    }
    sum = lanes_reduce(sum, Add{});
    for (int i = lane; i < experts && p.score == RouterScore::softmax; i += kLanes) {
        scores[i] /= sum;
    }
}

// The choice starts as score + bias; what is not a number counts as minus infinity.
__device__ void start_choice(const RouterTopkArgs& p, const float* scores, float* choice) {
    for (int i = static_cast<int>(threadIdx.x % kWarp); i < p.experts; i += kLanes) {
        const float value = scores[i] + (p.bias == nullptr ? 0.0F : p.bias[i]);
        choice[i] = std::isnan(value) ? -INFINITY : value;
    }
}

// `group_scores` and `kept` have room for all groups.
__device__ void drop_groups(const RouterTopkArgs& p, float* choice, float* group_scores,
                            float* kept) {
    const int size = static_cast<int>(p.experts / p.groups);
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const int groups = static_cast<int>(p.groups);
    for (int group = lane; group < groups; group += kLanes) {
        float first = -INFINITY;
        float second = -INFINITY;
        for (int i = group * size; i < (group + 1) * size; ++i) {
            second = fmaxf(second, fminf(first, choice[i]));
            first = fmaxf(first, choice[i]);
        }
        const bool is_pair = p.group_score == RouterGroupScore::two_best && size > 1;
        group_scores[group] = is_pair ? first + second : first;
        kept[group] = 0;
    }
    __syncwarp();
    for (int i = 0; i < p.groups_per_token; ++i) {
        const int winner = take_best(group_scores, 0, groups);
        if (lane == 0) {
            kept[winner] = 1;
        }
    }
    __syncwarp();
    for (int i = lane; i < p.experts; i += kLanes) {
        choice[i] = kept[i / size] != 0 ? choice[i] : -INFINITY;
    }
}

__device__ void choose(const RouterTopkArgs& p, std::int64_t t, const float* scores,
                       float* choice) {
    std::int32_t* indices = p.indices + t * p.experts_per_token;
    float* weights = p.weights + t * p.experts_per_token;
    float sum = 0;
    for (int i = 0; i < p.experts_per_token; ++i) {
        const int expert = take_best(choice, 0, static_cast<int>(p.experts));
        sum += scores[expert];
        if (threadIdx.x % kWarp == 0) {
            indices[i] = expert;
        }
    }
    __syncwarp();
    for (int i = static_cast<int>(threadIdx.x % kWarp); i < p.experts_per_token; i += kLanes) {
        const float weight = scores[indices[i]];
        weights[i] = (p.normalize ? weight / sum : weight) * p.scaling_factor;
    }
}

__global__ void router_topk_kernel(RouterTopkArgs p) {
    const unsigned warp = threadIdx.x / kWarp;
    float* scores = reinterpret_cast<float*>(dynamic_shared()) + warp * 4 * p.experts;
    float* choice = scores + p.experts;
    const std::int64_t step = std::int64_t{gridDim.x} * kTokensPerBlock;
    for (std::int64_t t = std::int64_t{blockIdx.x} * kTokensPerBlock + warp; t < p.tokens;
         t += step) {
        compute_scores(p, p.logits + t * p.experts, scores);
        start_choice(p, scores, choice);
        __syncwarp();
        if (p.groups > 1) {
            drop_groups(p, choice, choice + p.experts, choice + 2 * p.experts);
            __syncwarp();
        }
        choose(p, t, scores, choice);
        __syncwarp();  // the next token writes where this one reads
    }
}

}  // namespace

void router_topk(const RouterTopkArgs& args, const Launch& launch) {
    R1_CHECK(args.experts <= kRouterExpertsMax && args.experts_per_token <= args.experts);
    R1_CHECK(args.groups >= 1 && args.experts % args.groups == 0 &&
             args.groups_per_token <= args.groups);
    launch_kernel(router_topk_kernel, grid_for(ceil_div(args.tokens, kTokensPerBlock), launch),
                  dim3{kTokensPerBlock * kWarp, 1, 1},
                  static_cast<std::size_t>(kTokensPerBlock * 4 * args.experts) * sizeof(float),
                  launch, args);
}

}  // namespace r1::cuda
