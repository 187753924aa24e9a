// Weight gradients of experts in FP8 at the rate of Hopper's tensor cores.
#pragma once

#include "kernels/grouped_gemm_fp8_wgrad.hpp"

namespace r1::cuda {

std::size_t hopper_wgrad_workspace_bytes(const GroupedGemmFp8WgradArgs& args);

// False, with nothing enqueued, where the device is none.
bool hopper_wgrad(const GroupedGemmFp8WgradArgs& args, const Launch& launch);

}  // namespace r1::cuda
