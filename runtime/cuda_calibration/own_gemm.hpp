// Matrix products by the kernels of kernels/cuda, as `run --device cuda` starts them: with what
// they do around the product, which a library's algorithm alone leaves out.
#pragma once

#include "runtime/cuda_calibration/gemm.hpp"

namespace r1::cuda {

// `shape` is that of one group. `sms`: how many are free.
Alternatives own_gemm_operations(const Libraries& libraries, const Pools& pools,
                                 const GemmShape& shape, int groups, bool is_grouped, int sms);

}  // namespace r1::cuda
