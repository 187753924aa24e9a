// The scores of one token's experts, for what is differentiated or averaged. router_topk() has its
// own: it chooses by the reference's very bits.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/router_topk.hpp"

namespace r1::cpu {

using RouterRow = std::array<float, kRouterExpertsMax>;

void router_scores(RouterScore score, std::int64_t experts, const float* logits, float* scores);

// Before threads start: they cannot pass on an exception.
void check_choices(const std::int32_t* indices, std::int64_t count, std::int64_t experts);

// f of the balance loss: experts / (experts_per_token * length) * tokens that chose the expert.
void choice_frequency(const std::int32_t* indices, std::int64_t length,
                      std::int64_t experts_per_token, std::int64_t experts, float* f);

}  // namespace r1::cpu
