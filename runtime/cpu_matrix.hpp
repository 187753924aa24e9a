// Arguments of CPU kernels from those of ops, and the ops around matrices and precision.
#pragma once

#include "kernels/matrix.hpp"
#include "runtime/cpu_device.hpp"

namespace r1 {

// The first element, of activations, inputs and plain parameters.
template <class T>
T* data_of(const TensorArg& arg) {
    std::byte* data =
        arg.weight != nullptr ? const_cast<std::byte*>(arg.weight->data.data()) : arg.data;
    return reinterpret_cast<T*>(data);
}

inline Matrix matrix(const TensorArg& arg) { return {data_of<void>(arg), arg.stored, arg.width()}; }

void run_quantize_fp8(CpuDevice& device, const OpCall& call);
void run_dequantize_fp8(CpuDevice& device, const OpCall& call);
void run_gemm(CpuDevice& device, const OpCall& call);          // FP8 or plain
void run_grouped_gemm(CpuDevice& device, const OpCall& call);  // FP8 or plain
void run_mla_attention(CpuDevice& device, const OpCall& call);

}  // namespace r1
