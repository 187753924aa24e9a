#include "runtime/op_kernels.hpp"

#include "kernels/dequantize_fp8.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/quantize_e5m6.hpp"
#include "kernels/quantize_fp8.hpp"
#include "model/base/check.hpp"
#include "runtime/device_math.hpp"

namespace r1 {

namespace {

// y = x in another storage type.
void convert_all(const Device& device, const OpCall& c) {
    convert(device, c.dims[0], c.dims[1], matrix(c.inputs[0]), matrix(c.outputs[0]));
}

// The weight of a GEMM, one part of it: fused projections are multiplied one after the other into
// their columns of y.
struct WeightPart {
    std::int64_t n = 0;  // columns of y
    const std::byte* data = nullptr;
    const float* scales = nullptr;
    Matrix y;
};

WeightPart part_of(const TensorArg& weight, const TensorArg& y, std::int64_t n, std::int64_t k,
                   std::int64_t experts, std::int64_t part) {
    const Weight& w = *weight.weight;
    WeightPart result;
    result.n = n / w.parts;
    const std::int64_t values = experts * result.n * k;
    const auto value_bytes = static_cast<std::int64_t>(bits(w.dtype) / 8);
    result.data = w.data.data() + part * values * value_bytes;
    if (!w.scales.empty()) {
        result.scales = w.scales.data() + part * experts * tiles(result.n) * tiles(k);
    }
    result.y = matrix(y);
    result.y.data = static_cast<std::byte*>(result.y.data) +
                    part * result.n * static_cast<std::int64_t>(bits(y.stored) / 8);
    return result;
}

}  // namespace

void run_quantize_fp8(const Device& device, const OpCall& c) {
    if (c.outputs[0].stored == DType::e5m6) {
        run(device, c, &KernelSet::quantize_e5m6,
            {c.dims[0], c.dims[1], matrix(c.inputs[0]), data_of<std::uint8_t>(c.outputs[0])});
        return;
    }
    if (c.policy.fp8 == Fp8Mode::dequantize) {
        convert_all(device, c);
        return;
    }
    R1_CHECK(c.outputs.size() == 2);
    run(device, c, &KernelSet::quantize_fp8,
        {c.dims[0], c.dims[1], matrix(c.inputs[0]), data_of<std::uint8_t>(c.outputs[0]),
         data_of<float>(c.outputs[1]), amax_min(c)});
}

void run_dequantize_fp8(const Device& device, const OpCall& c) {
    if (c.inputs[0].stored == DType::e5m6) {
        run(device, c, &KernelSet::dequantize_e5m6,
            {c.dims[0], c.dims[1], data_of<std::uint8_t>(c.inputs[0]), matrix(c.outputs[0])});
        return;
    }
    if (c.inputs[0].stored != DType::e4m3) {
        convert_all(device, c);
        return;
    }
    run(device, c, &KernelSet::dequantize_fp8,
        {c.dims[0], c.dims[1], 1, data_of<std::uint8_t>(c.inputs[0]), data_of<float>(c.inputs[1]),
         matrix(c.outputs[0])});
}

namespace {

GemmFp8Args fp8_args(const OpCall& c) {
    GemmFp8Args args;
    args.m = c.dims[0];
    args.n = c.dims[1];
    args.k = c.dims[2];
    args.x = data_of<std::uint8_t>(c.inputs[0]);
    args.x_scales = data_of<float>(c.inputs[1]);
    args.w_transposed = makes_gradient(c);
    args.workspace = c.workspace;
    return args;
}

GemmBf16Args bf16_args(const OpCall& c) {
    GemmBf16Args args;
    args.m = c.dims[0];
    args.n = c.dims[1];
    args.k = c.dims[2];
    args.x = matrix(c.inputs[0]);
    args.w_transposed = makes_gradient(c);
    args.workspace = c.workspace;
    return args;
}

GroupedGemmFp8Args grouped_fp8_args(const OpCall& c) {
    GroupedGemmFp8Args args;
    args.experts = c.dims[0];
    args.rows_max = c.dims[1];
    args.n = c.dims[2];
    args.k = c.dims[3];
    args.offsets = data_of<std::int32_t>(c.inputs.back());
    args.x = data_of<std::uint8_t>(c.inputs[0]);
    args.x_scales = data_of<float>(c.inputs[1]);
    args.w_transposed = makes_gradient(c);
    args.workspace = c.workspace;
    return args;
}

GroupedGemmBf16Args grouped_bf16_args(const OpCall& c) {
    GroupedGemmBf16Args args;
    args.experts = c.dims[0];
    args.n = c.dims[2];
    args.k = c.dims[3];
    args.offsets = data_of<std::int32_t>(c.inputs.back());
    args.x = matrix(c.inputs[0]);
    args.w_transposed = makes_gradient(c);
    args.workspace = c.workspace;
    return args;
}

// From one row of the weight to the next.
std::int64_t weight_stride(const OpCall& c, std::int64_t n, std::int64_t k) {
    return makes_gradient(c) ? n : k;
}

// Runs `gemm` for each part of a fused weight; input gradients take a weight that is one.
template <class Args>
void run_parts(const Device& device, const OpCall& c, Args args, std::int64_t experts,
               KernelSet::Kernel<Args> KernelSet::*gemm) {
    const TensorArg& weight = c.inputs[weight_index(c)];
    R1_CHECK(weight.weight->parts == 1 || !makes_gradient(c));
    const std::int64_t n = args.n;
    for (std::int64_t p = 0; p < weight.weight->parts; ++p) {
        const WeightPart part = part_of(weight, c.outputs[0], n, args.k, experts, p);
        args.n = part.n;
        args.y = part.y;
        if constexpr (requires { args.w_scales; }) {
            args.w = reinterpret_cast<const std::uint8_t*>(part.data);
            args.w_scales = part.scales;
        } else {
            args.w = {part.data, weight.weight->dtype, weight_stride(c, part.n, args.k)};
        }
        run(device, c, gemm, args);
    }
}

}  // namespace

std::size_t gemm_workspace(const Device& device, const OpCall& c) {
    return multiplies_fp8(c) ? bytes(device, &KernelSet::gemm_fp8_workspace_bytes, fp8_args(c))
                             : bytes(device, &KernelSet::gemm_bf16_workspace_bytes, bf16_args(c));
}

void run_gemm(const Device& device, const OpCall& c) {
    if (multiplies_fp8(c)) {
        run_parts(device, c, fp8_args(c), 1, &KernelSet::gemm_fp8);
    } else {
        run_parts(device, c, bf16_args(c), 1, &KernelSet::gemm_bf16);
    }
}

std::size_t grouped_gemm_workspace(const Device& device, const OpCall& c) {
    return multiplies_fp8(c)
               ? bytes(device, &KernelSet::grouped_gemm_fp8_workspace_bytes, grouped_fp8_args(c))
               : bytes(device, &KernelSet::grouped_gemm_bf16_workspace_bytes, grouped_bf16_args(c));
}

void run_grouped_gemm(const Device& device, const OpCall& c) {
    if (multiplies_fp8(c)) {
        run_parts(device, c, grouped_fp8_args(c), c.dims[0], &KernelSet::grouped_gemm_fp8);
    } else {
        run_parts(device, c, grouped_bf16_args(c), c.dims[0], &KernelSet::grouped_gemm_bf16);
    }
}

}  // namespace r1
