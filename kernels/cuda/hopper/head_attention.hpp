// Attention over the keys and values of each head at the rate of Hopper's tensor cores.
#pragma once

#include "kernels/cuda/attention.hpp"

namespace r1::cuda {

// False, with nothing enqueued, where it does not take them: BF16, 128 columns and 64 rotary ones
// of queries and keys, 128 of values; one row a query.
bool hopper_head_attention(const Attention& args, const Launch& launch);

}  // namespace r1::cuda
