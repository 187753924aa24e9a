// The memory-bound kernels of kernels/cuda that a calibration of own kernels measures, and what
// each moves for a row: the bytes of the op's tensors in the graph of DeepSeek-V3's training step,
// which is what the cost model asks a curve for.
#pragma once

#include <cstdint>
#include <span>

namespace r1 {

struct OwnMemoryKernel {
    const char* kernel;      // the curve
    double row_bytes;        // read and written, but for what does not grow with the rows
    std::int64_t rows_step;  // rows are a multiple
    const char* derivation;
};

std::span<const OwnMemoryKernel> own_memory_kernels();

}  // namespace r1
