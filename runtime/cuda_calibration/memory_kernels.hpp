// Kernels that do little but move memory, as the steps between matrix kernels do: what a decent
// implementation of each reaches on this GPU. Stand-ins for the graph's kernels of those names,
// with the same reads and writes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "kernels/matrix.hpp"
#include "runtime/calibration/v3_sizes.hpp"

namespace r1::cuda {

using v3::kExpertWidth;
using v3::kHidden;
inline constexpr float kRmsNormEpsilon = 1e-6F;
inline constexpr float kElementwiseFactor = 0.5F;

// Row-major. BF16 unless said otherwise; a kernel takes what it needs.
struct MemoryOperands {
    std::int64_t rows = 0;
    const void* a = nullptr;              // [rows, kHidden]; swiglu: [rows, 2 kExpertWidth], gates
                                          // first; requantize_transpose_fp8: E4M3
    const void* b = nullptr;              // residual_add: [rows, kHidden]; rms_norm: the weight
    const float* a_scales = nullptr;      // requantize_transpose_fp8: [rows, kHidden / kTile]
    const std::int32_t* order = nullptr;  // permute: y's row r is a's row order[r]
    void* y = nullptr;          // as a; swiglu: [rows, kExpertWidth]; quantize_fp8: E4M3 codes;
                                // requantize_transpose_fp8: codes [kHidden, rows]
    float* y_scales = nullptr;  // of y's tiles: [rows, kHidden / kTile], [kHidden, rows / kTile]
};

struct MemoryKernel {
    const char* kernel;  // the curve
    double row_bytes;    // read and written, for each row
    std::int64_t rows_step;
    const char* derivation;
    void (*launch)(const MemoryOperands& operands, cudaStream_t stream);
};

std::span<const MemoryKernel> memory_kernels();

// In a file of its own.
void time_requantize_transpose_fp8(const MemoryOperands& operands, cudaStream_t stream);

}  // namespace r1::cuda
