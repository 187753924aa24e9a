// Causal attention in the absorbed form of MLA, straight over the latent cache: kv_b's key half
// moves into the query (q_latent = q_nope W_uk), scores are q_latent . latent + q_rope . k_rope,
// and kv_b's value half is applied to the weighted sum of latents. No keys or values are made.
//
// Key splits and chunks begin at fixed rows, so a query's result is the same bytes whatever
// queries and sequences are computed beside it.
#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/mla_cached.hpp"

namespace r1 {

namespace reference {
void mla_decode(const MlaCachedArgs& args);  // sums in double; needs its workspace too
std::size_t mla_decode_workspace_bytes(const MlaCachedArgs& args);
}  // namespace reference
namespace cpu {
std::size_t mla_decode_workspace_bytes(const MlaCachedArgs& args);
void mla_decode(const MlaCachedArgs& args);
}  // namespace cpu
namespace cuda {
std::size_t mla_decode_workspace_bytes(const MlaCachedArgs& args);
void mla_decode(const MlaCachedArgs& args, const Launch& launch);
}  // namespace cuda

}  // namespace r1
