// Attention over the latent cache of MLA at the rate of Hopper's tensor cores.
#pragma once

#include "kernels/cuda/attention.hpp"

namespace r1::cuda {

// False, with nothing enqueued, where it does not take them: BF16, 512 latent and 64 rotary columns
// that are keys and, the latent ones, values; one head, whose queries have any number of rows.
// Combining the splits is left to the caller.
bool hopper_latent_attention(const Attention& args, const Launch& launch);

}  // namespace r1::cuda
