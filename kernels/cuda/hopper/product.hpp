// FP8 products at the rate of Hopper's tensor cores, for what cuBLASLt has no function for.
#pragma once

#include "kernels/cuda/product.hpp"

namespace r1::cuda {

// Whether hopper_product() takes products of these sizes, operands apart: rows of k codes begin at
// multiples of 16 bytes.
inline bool hopper_takes_fp8(std::int64_t k, const Launch& launch) {
    return launch.is_hopper && k > 0 && k % 16 == 0;
}

// False, with nothing enqueued, where it does not take the product: E4M3 along k on both sides,
// with scales of 1x128 tiles of a and of 128x128 blocks of b, that replaces y.
bool hopper_product(const Product& args, const Launch& launch);

}  // namespace r1::cuda
