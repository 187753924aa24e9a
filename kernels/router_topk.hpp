// Expert choice (arXiv 2412.19437, sec. 2.1.2): scores, bias, groups, top-k, weights. The twin of
// model/routing's choose_experts(), for whole matrices and without allocation. Ties go to the
// smaller index; experts of dropped groups are -infinity, so they are never chosen.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/matrix.hpp"

namespace r1 {

inline constexpr std::int64_t kRouterExpertsMax =
    1024;  // the C++ versions keep scores on the stack

enum class RouterScore { sigmoid, softmax };
enum class RouterGroupScore { two_best, best };

struct RouterTopkArgs {
    std::int64_t tokens = 0;
    std::int64_t experts = 0;
    std::int64_t experts_per_token = 0;
    std::int64_t groups = 1;  // 1: no groups
    std::int64_t groups_per_token = 1;
    RouterScore score = RouterScore::sigmoid;
    RouterGroupScore group_score = RouterGroupScore::two_best;
    bool normalize = true;
    float scaling_factor = 1;
    const float* logits = nullptr;    // [tokens, experts]
    const float* bias = nullptr;      // [experts] or nullptr
    std::int32_t* indices = nullptr;  // [tokens, experts_per_token], by descending choice
    float* weights = nullptr;         // [tokens, experts_per_token]
};

namespace reference {
void router_topk(const RouterTopkArgs& args);
}
namespace cpu {
void router_topk(const RouterTopkArgs& args);
}
namespace cuda {
void router_topk(const RouterTopkArgs& args, const Launch& launch);
}

}  // namespace r1
