// How a run stores what the graph names: the graph says BF16 and FP8, a run may compute in FP32.
#pragma once

#include "model/base/dtype.hpp"
#include "model/graph/op.hpp"

namespace r1 {

enum class Fp8Mode {
    simulate,    // quantise activations, multiply block-scaled FP8
    dequantize,  // FP8 weights become compute values, activations are not quantised
};

// How the next token is picked from logits (kernels/sample.hpp).
struct Sampling {
    double temperature = 0;  // 0: greedy
    double top_p = 1;
};

struct ExecutionPolicy {
    DType compute = DType::f32;  // f32 or bf16: what BF16 tensors of the graph are stored as
    Fp8Mode fp8 = Fp8Mode::simulate;
    Sampling sampling;
};

// The type that a tensor of the graph is stored in.
inline DType stored_as(const Tensor& tensor, const ExecutionPolicy& policy) {
    const bool plain_fp8 = tensor.dtype == DType::e4m3 && policy.fp8 == Fp8Mode::dequantize;
    return tensor.dtype == DType::bf16 || plain_fp8 ? policy.compute : tensor.dtype;
}

// Bytes of one row (the last dimension) and of the whole tensor as stored.
std::size_t stored_row_bytes(const Tensor& tensor, const ExecutionPolicy& policy);
std::size_t stored_bytes(const Tensor& tensor, const SymbolValues& values,
                         const ExecutionPolicy& policy);

}  // namespace r1
