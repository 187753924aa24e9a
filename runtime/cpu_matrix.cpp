#include "runtime/cpu_kernels.hpp"

#include "kernels/dequantize_fp8.hpp"
#include "kernels/gemm_bf16.hpp"
#include "kernels/gemm_fp8.hpp"
#include "kernels/grouped_gemm_bf16.hpp"
#include "kernels/grouped_gemm_fp8.hpp"
#include "kernels/quantize_fp8.hpp"
#include "model/base/check.hpp"

namespace r1 {

namespace {

// y = x in another storage type.
void convert(const TensorArg& from, const TensorArg& to, std::int64_t rows, std::int64_t width) {
    const Matrix y = matrix(to);
    const ConstMatrix x = matrix(from);
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = 0; column < width; ++column) {
            store(y, row, column, load(x, row, column));
        }
    }
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

// Where the weight stands: {x, w}, or {x, x scale, w, w scale}.
std::size_t weight_index(const OpCall& call) { return call.inputs[1].weight != nullptr ? 1 : 2; }

}  // namespace

void run_quantize_fp8(const CpuDevice&, const OpCall& c) {
    if (c.policy.fp8 == Fp8Mode::dequantize) {
        convert(c.inputs[0], c.outputs[0], c.dims[0], c.dims[1]);
        return;
    }
    R1_CHECK(c.outputs.size() == 2);
    cpu::quantize_fp8({c.dims[0], c.dims[1], matrix(c.inputs[0]),
                       data_of<std::uint8_t>(c.outputs[0]), data_of<float>(c.outputs[1])});
}

void run_dequantize_fp8(const CpuDevice&, const OpCall& c) {
    if (c.inputs[0].stored != DType::e4m3) {
        convert(c.inputs[0], c.outputs[0], c.dims[0], c.dims[1]);
        return;
    }
    cpu::dequantize_fp8({c.dims[0], c.dims[1], 1, data_of<std::uint8_t>(c.inputs[0]),
                         data_of<float>(c.inputs[1]), matrix(c.outputs[0])});
}

std::size_t gemm_workspace(const OpCall& c) {
    if (c.inputs[weight_index(c)].weight->dtype == DType::e4m3) {
        GemmFp8Args args;
        args.m = c.dims[0];
        args.n = c.dims[1];
        args.k = c.dims[2];
        return cpu::gemm_fp8_workspace_bytes(args);
    }
    GemmBf16Args args;
    args.m = c.dims[0];
    args.n = c.dims[1];
    args.k = c.dims[2];
    return cpu::gemm_bf16_workspace_bytes(args);
}

void run_gemm(const CpuDevice&, const OpCall& c) {
    const TensorArg& weight = c.inputs[weight_index(c)];
    for (std::int64_t p = 0; p < weight.weight->parts; ++p) {
        const WeightPart part = part_of(weight, c.outputs[0], c.dims[1], c.dims[2], 1, p);
        if (weight.weight->dtype == DType::e4m3) {
            cpu::gemm_fp8({c.dims[0], part.n, c.dims[2], data_of<std::uint8_t>(c.inputs[0]),
                           data_of<float>(c.inputs[1]),
                           reinterpret_cast<const std::uint8_t*>(part.data), part.scales, part.y,
                           c.workspace});
        } else {
            cpu::gemm_bf16({c.dims[0], part.n, c.dims[2], matrix(c.inputs[0]),
                            ConstMatrix{part.data, weight.weight->dtype, c.dims[2]}, part.y,
                            c.workspace});
        }
    }
}

std::size_t grouped_gemm_workspace(const OpCall& c) {
    if (c.inputs[weight_index(c)].weight->dtype == DType::e4m3) {
        GroupedGemmFp8Args args;
        args.experts = c.dims[0];
        args.n = c.dims[2];
        args.k = c.dims[3];
        return cpu::grouped_gemm_fp8_workspace_bytes(args);
    }
    GroupedGemmBf16Args args;
    args.experts = c.dims[0];
    args.n = c.dims[2];
    args.k = c.dims[3];
    return cpu::grouped_gemm_bf16_workspace_bytes(args);
}

void run_grouped_gemm(const CpuDevice&, const OpCall& c) {
    const TensorArg& weight = c.inputs[weight_index(c)];
    const auto* offsets = data_of<std::int32_t>(c.inputs.back());
    const std::int64_t experts = c.dims[0];
    for (std::int64_t p = 0; p < weight.weight->parts; ++p) {
        const WeightPart part = part_of(weight, c.outputs[0], c.dims[2], c.dims[3], experts, p);
        if (weight.weight->dtype == DType::e4m3) {
            cpu::grouped_gemm_fp8({experts, part.n, c.dims[3], offsets,
                                   data_of<std::uint8_t>(c.inputs[0]), data_of<float>(c.inputs[1]),
                                   reinterpret_cast<const std::uint8_t*>(part.data), part.scales,
                                   part.y, c.workspace});
        } else {
            cpu::grouped_gemm_bf16({experts, part.n, c.dims[3], offsets, matrix(c.inputs[0]),
                                    ConstMatrix{part.data, weight.weight->dtype, c.dims[3]}, part.y,
                                    c.workspace});
        }
    }
}

}  // namespace r1
