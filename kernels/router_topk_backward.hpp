// The gradient of router_topk() with respect to the logits: through the weights of the chosen
// experts (the choice itself is a constant), and of the sequence-wise balance loss
// (kernels/sequence_balance.hpp) if its alpha is above zero.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/router_topk.hpp"

namespace r1 {

struct RouterTopkBackwardArgs {
    std::int64_t tokens = 0;
    std::int64_t experts = 0;
    std::int64_t experts_per_token = 0;
    RouterScore score = RouterScore::sigmoid;
    bool normalize = true;
    float scaling_factor = 1;               // not zero
    const float* logits = nullptr;          // [tokens, experts]
    const std::int32_t* indices = nullptr;  // [tokens, experts_per_token], of router_topk()
    const float* weights = nullptr;         // [tokens, experts_per_token], of router_topk()
    const float* d_weights = nullptr;       // [tokens, experts_per_token]; nullptr: zero
    std::int64_t sequence_length = 0;       // divides tokens; read if balance_alpha > 0
    // What the loss of one sequence counts in the total loss: alpha over what the caller averages
    // over.
    float balance_alpha = 0;
    float* d_logits = nullptr;  // [tokens, experts]
};

namespace reference {
void router_topk_backward(const RouterTopkBackwardArgs& args);
}
namespace cpu {
void router_topk_backward(const RouterTopkBackwardArgs& args);
}
namespace cuda {
void router_topk_backward(const RouterTopkBackwardArgs& args, const Launch& launch);
}

}  // namespace r1
