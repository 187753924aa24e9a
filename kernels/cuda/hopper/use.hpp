// Which GPUs run the kernels of this folder.
#pragma once

#include <cstdlib>
#include <string_view>

namespace r1::cuda {

// `compute_capability`: times ten; they are for 9.0 alone. R1_HOPPER_KERNELS=0 in the environment
// turns them off: the kernels of all GPUs stand in, to compare, or where these fail.
inline bool use_hopper_kernels(int compute_capability) {
    const char* wish = std::getenv("R1_HOPPER_KERNELS");
    return compute_capability == 90 && (wish == nullptr || std::string_view(wish) != "0");
}

}  // namespace r1::cuda
