// silu(gate) * up, in float32.
#pragma once

#include "kernels/cuda/rows.cuh"

namespace r1::cuda {

inline __device__ float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

inline __device__ float swiglu_of(float gate, float up) { return gate / (1.0F + expf(-gate)) * up; }

}  // namespace r1::cuda
