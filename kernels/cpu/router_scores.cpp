#include "kernels/cpu/router_scores.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/vector_math.hpp"

namespace r1::cpu {

void router_scores(RouterScore score, std::int64_t experts, const float* logits, float* scores) {
    if (score == RouterScore::sigmoid) {
        vectorized([&]() R1_INLINE {
#pragma omp simd
            for (std::int64_t i = 0; i < experts; ++i) {
                scores[i] = 1.0F / (1.0F + exp_f32(-logits[i]));
            }
        });
        return;
    }
    const float largest = *std::max_element(logits, logits + experts);
    vectorized([&]() R1_INLINE {
#pragma omp simd
        for (std::int64_t i = 0; i < experts; ++i) {
            scores[i] = exp_f32(logits[i] - largest);
        }
    });
    const auto factor = static_cast<float>(1 / std::accumulate(scores, scores + experts, 0.0));
    for (std::int64_t i = 0; i < experts; ++i) {
        scores[i] *= factor;
    }
}

void check_choices(const std::int32_t* indices, std::int64_t count, std::int64_t experts) {
    R1_CHECK(experts > 0 && experts <= kRouterExpertsMax);
    for (std::int64_t i = 0; i < count; ++i) {
        R1_CHECK(indices[i] >= 0 && indices[i] < experts);
    }
}

void choice_frequency(const std::int32_t* indices, std::int64_t length,
                      std::int64_t experts_per_token, std::int64_t experts, float* f) {
    std::array<std::int32_t, kRouterExpertsMax> counts{};
    for (std::int64_t i = 0; i < length * experts_per_token; ++i) {
        ++counts[static_cast<std::size_t>(indices[i])];
    }
    const double factor =
        static_cast<double>(experts) / static_cast<double>(experts_per_token * length);
    for (std::int64_t i = 0; i < experts; ++i) {
        f[i] = static_cast<float>(factor * counts[static_cast<std::size_t>(i)]);
    }
}

}  // namespace r1::cpu
