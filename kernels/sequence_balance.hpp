// The sequence-wise balance loss (arXiv 2412.19437, sec. 2.1.2, eq. 17 to 20), a sequence of T
// tokens at a time: f_i = experts / (experts_per_token * T) * tokens that chose expert i,
// p_i = mean over tokens of s_i / sum of s, loss = alpha * sum of f_i * p_i; 1 * alpha if all
// experts are chosen alike. f counts the experts in `indices`: those that were really chosen, or
// the best by raw score as the report writes it, whatever the caller asked router_topk() for.
// router_topk_backward() has the gradient; f is a constant for it.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.hpp"
#include "kernels/router_topk.hpp"

namespace r1 {

struct SequenceBalanceArgs {
    std::int64_t tokens = 0;
    std::int64_t experts = 0;
    std::int64_t experts_per_token = 0;
    std::int64_t sequence_length = 0;  // divides tokens: they are whole sequences
    RouterScore score = RouterScore::sigmoid;
    float alpha = 0;
    const float* logits = nullptr;          // [tokens, experts]
    const std::int32_t* indices = nullptr;  // [tokens, experts_per_token]
    float* f = nullptr;                     // [sequences, experts]
    float* p = nullptr;                     // [sequences, experts]
    float* loss = nullptr;                  // [sequences]
};

namespace reference {
void sequence_balance(const SequenceBalanceArgs& args);
}
namespace cpu {
void sequence_balance(const SequenceBalanceArgs& args);
}
namespace cuda {
void sequence_balance(const SequenceBalanceArgs& args, const Launch& launch);
}

}  // namespace r1
