// Weight gradients, and operands for them: FP8 or plain.
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_bf16_wgrad.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "kernels/grouped_gemm_bf16_wgrad.hpp"
#include "kernels/grouped_gemm_fp8_wgrad.hpp"
#include "kernels/requantize_transpose_fp8.hpp"
#include "runtime/op_kernels.hpp"

namespace r1 {

namespace {

// Gradients add to FP32.
Matrix sums(const TensorArg& arg) { return {data_of<void>(arg), DType::f32, arg.width()}; }

// {gradient [k, m], input [k, n]} -> {weight gradient [m, n]}
GemmBf16WgradArgs bf16_wgrad_args(const OpCall& c) {
    GemmBf16WgradArgs args;
    args.m = c.dims[0];
    args.n = c.dims[1];
    args.k = c.dims[2];
    args.grad = matrix(c.inputs[0]);
    args.x = matrix(c.inputs[1]);
    args.y = data_of<float>(c.outputs[0]);
    args.workspace = c.workspace;
    return args;
}

// {gradient^T [m, k], its scales, input^T [n, k], its scales}
GemmFp8WgradArgs fp8_wgrad_args(const OpCall& c) {
    GemmFp8WgradArgs args;
    args.m = c.dims[0];
    args.n = c.dims[1];
    args.k = c.dims[2];
    args.grad = data_of<std::uint8_t>(c.inputs[0]);
    args.grad_scales = data_of<float>(c.inputs[1]);
    args.x = data_of<std::uint8_t>(c.inputs[2]);
    args.x_scales = data_of<float>(c.inputs[3]);
    args.y = data_of<float>(c.outputs[0]);
    args.workspace = c.workspace;
    return args;
}

// The same operands where FP8 is not simulated: plain values.
GemmBf16Args plain_args(const OpCall& c) {
    GemmBf16Args args;
    args.m = c.dims[0];
    args.n = c.dims[1];
    args.k = c.dims[2];
    args.x = {data_of<void>(c.inputs[0]), c.inputs[0].stored, args.k};
    args.w = {data_of<void>(c.inputs[2]), c.inputs[2].stored, args.k};
    args.y = sums(c.outputs[0]);
    args.accumulate = true;
    args.workspace = c.workspace;
    return args;
}

// dims {experts, m, n, rows}; the last input says where each expert's rows begin.
GroupedGemmBf16WgradArgs grouped_bf16_wgrad_args(const OpCall& c) {
    const bool is_transposed = c.inputs.size() > 3;  // the FP8 op, without FP8
    GroupedGemmBf16WgradArgs args;
    args.experts = c.dims[0];
    args.m = c.dims[1];
    args.n = c.dims[2];
    args.offsets = data_of<std::int32_t>(c.inputs.back());
    args.transposed = is_transposed;
    args.grad = matrix(c.inputs[0]);
    args.x = matrix(c.inputs[is_transposed ? 2 : 1]);
    if (is_transposed) {
        args.grad.stride = c.dims[3];
        args.x.stride = c.dims[3];
    }
    args.y = data_of<float>(c.outputs[0]);
    args.workspace = c.workspace;
    return args;
}

GroupedGemmFp8WgradArgs grouped_fp8_wgrad_args(const OpCall& c) {
    GroupedGemmFp8WgradArgs args;
    args.experts = c.dims[0];
    args.rows_max = c.dims[3];
    args.m = c.dims[1];
    args.n = c.dims[2];
    args.offsets = data_of<std::int32_t>(c.inputs.back());
    args.grad = data_of<std::uint8_t>(c.inputs[0]);
    args.grad_scales = data_of<float>(c.inputs[1]);
    args.x = data_of<std::uint8_t>(c.inputs[2]);
    args.x_scales = data_of<float>(c.inputs[3]);
    args.y = data_of<float>(c.outputs[0]);
    args.workspace = c.workspace;
    return args;
}

}  // namespace

std::size_t gemm_wgrad_workspace(const Device& device, const OpCall& c) {
    if (is_plain_wgrad(c)) {
        return bytes(device, &KernelSet::gemm_bf16_wgrad_workspace_bytes, bf16_wgrad_args(c));
    }
    return is_quantized(c)
               ? bytes(device, &KernelSet::gemm_fp8_wgrad_workspace_bytes, fp8_wgrad_args(c))
               : bytes(device, &KernelSet::gemm_bf16_workspace_bytes, plain_args(c));
}

void run_gemm_wgrad(const Device& device, const OpCall& c) {
    if (is_plain_wgrad(c)) {
        run(device, c, &KernelSet::gemm_bf16_wgrad, bf16_wgrad_args(c));
    } else if (is_quantized(c)) {
        run(device, c, &KernelSet::gemm_fp8_wgrad, fp8_wgrad_args(c));
    } else {
        run(device, c, &KernelSet::gemm_bf16, plain_args(c));
    }
}

std::size_t grouped_gemm_wgrad_workspace(const Device& device, const OpCall& c) {
    return is_quantized(c) ? bytes(device, &KernelSet::grouped_gemm_fp8_wgrad_workspace_bytes,
                                   grouped_fp8_wgrad_args(c))
                           : bytes(device, &KernelSet::grouped_gemm_bf16_wgrad_workspace_bytes,
                                   grouped_bf16_wgrad_args(c));
}

void run_grouped_gemm_wgrad(const Device& device, const OpCall& c) {
    if (is_quantized(c)) {
        run(device, c, &KernelSet::grouped_gemm_fp8_wgrad, grouped_fp8_wgrad_args(c));
    } else {
        run(device, c, &KernelSet::grouped_gemm_bf16_wgrad, grouped_bf16_wgrad_args(c));
    }
}

// {x} or {codes, scales} -> {transposed, its scales}; plain where FP8 is not simulated.
void run_requantize_transpose(const Device& device, const OpCall& c) {
    RequantizeTransposeFp8Args args;
    args.rows = c.dims[0];
    args.width = c.dims[1];
    if (c.inputs[0].stored == DType::e4m3) {
        args.codes = data_of<std::uint8_t>(c.inputs[0]);
        args.scales = data_of<float>(c.inputs[1]);
    } else {
        args.x = matrix(c.inputs[0]);
    }
    if (c.outputs[0].stored == DType::e4m3) {
        args.transposed_codes = data_of<std::uint8_t>(c.outputs[0]);
        args.transposed_scales = data_of<float>(c.outputs[1]);
        args.amax_min = amax_min(c);
    } else {
        args.y = {data_of<void>(c.outputs[0]), c.outputs[0].stored, args.rows};
    }
    run(device, c, &KernelSet::requantize_transpose_fp8, args);
}

}  // namespace r1
