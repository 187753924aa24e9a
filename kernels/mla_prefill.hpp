// Causal attention of many new tokens over the latent cache: keys and values are made from the
// latents, block by block, and attended to as mla_attention does. For many queries that costs a
// third of the absorbed form, whose heads are three to four times as wide.
//
// Blocks and chunks of keys begin at fixed rows, so a query's result is the same bytes whatever
// queries are computed beside it, and those of mla_attention over the whole sequence.
#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/mla_cached.hpp"

namespace r1 {

namespace reference {
void mla_prefill(const MlaCachedArgs& args);  // sums in double; needs its workspace too
std::size_t mla_prefill_workspace_bytes(const MlaCachedArgs& args);
}  // namespace reference
namespace cpu {
std::size_t mla_prefill_workspace_bytes(const MlaCachedArgs& args);
void mla_prefill(const MlaCachedArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t mla_prefill_workspace_bytes(const MlaCachedArgs& args);
void mla_prefill(const MlaCachedArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
