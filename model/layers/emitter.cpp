#include "model/layers/emitter.hpp"

#include "model/base/check.hpp"

namespace r1 {

namespace {

constexpr std::int64_t kTile = 128;

std::int64_t tiles(std::int64_t width) { return (width + kTile - 1) / kTile; }

struct Weight {
    TensorId data;
    TensorId scale;
};

Weight weight_of(Emitter& e, const std::string& name, std::int64_t out, std::int64_t in, bool fp8,
                 std::int64_t experts) {
    const auto shape = [experts](std::int64_t rows, std::int64_t columns) {
        std::vector<Extent> extents;
        if (experts > 0) {
            extents.emplace_back(experts);
        }
        extents.emplace_back(rows);
        extents.emplace_back(columns);
        return extents;
    };
    Weight weight;
    weight.data = e.parameter(name + ".weight", fp8 ? DType::e4m3 : DType::bf16, shape(out, in));
    if (fp8) {
        weight.scale =
            e.parameter(name + ".weight_scale_inv", DType::f32, shape(tiles(out), tiles(in)));
    }
    return weight;
}

// Inputs of a GEMM over two operands, in the order of the kernel signatures.
std::vector<TensorId> gemm_inputs(TensorId a, TensorId a_scale, TensorId b, TensorId b_scale,
                                  const Grouping& grouping) {
    std::vector<TensorId> inputs;
    for (const TensorId id : {a, a_scale, b, b_scale, grouping.offsets}) {
        if (id.valid()) {
            inputs.push_back(id);
        }
    }
    return inputs;
}

std::vector<Extent> gemm_dims(Extent m, Extent n, Extent k, const Grouping& grouping) {
    if (grouping.experts > 0) {
        return {grouping.experts, m, n, k};
    }
    return {m, n, k};
}

KernelId gemm_kernel(bool fp8, bool grouped) {
    if (grouped) {
        return fp8 ? KernelId::grouped_gemm_fp8 : KernelId::grouped_gemm_bf16;
    }
    return fp8 ? KernelId::gemm_fp8 : KernelId::gemm_bf16;
}

KernelId wgrad_kernel(bool fp8, bool grouped) {
    if (grouped) {
        return fp8 ? KernelId::grouped_gemm_fp8_wgrad : KernelId::grouped_gemm_bf16_wgrad;
    }
    return fp8 ? KernelId::gemm_fp8_wgrad : KernelId::gemm_bf16_wgrad;
}

}  // namespace

void tensor_collective(Emitter& e, Collective collective, std::vector<TensorId> inputs,
                       std::vector<TensorId> outputs) {
    CommOp comm;
    comm.collective = collective;
    comm.group = GroupKind::tensor_parallel;
    for (const TensorId id : collective == Collective::all_gather ? outputs : inputs) {
        comm.payload_bytes += bytes(e.builder().at(id));
    }
    e.builder().set_stream(Stream::collective);
    e.builder().communicate(comm, std::move(inputs), std::move(outputs));
    e.builder().set_stream(Stream::compute);
}

TensorId gathered(Emitter& e, const std::string& name, TensorId own) {
    if (e.sizes().tensor_parallel == 1) {
        return own;
    }
    const Tensor tensor = e.builder().at(own);
    std::vector<Extent> shape = tensor.shape;
    shape.front() = e.sizes().group_tokens();
    return e.activation(name + ".gathered", tensor.dtype, shape);
}

TensorId gather_tokens(Emitter& e, const std::string& name, TensorId own) {
    const TensorId whole = gathered(e, name, own);
    if (whole != own) {
        tensor_collective(e, Collective::all_gather, {own}, {whole});
    }
    return whole;
}

std::string partial_name(const Emitter& e, const std::string& name) {
    return e.sizes().tensor_parallel == 1 ? name : name + ".partial";
}

TensorId scatter_tokens(Emitter& e, const std::string& name, TensorId partial) {
    if (e.sizes().tensor_parallel == 1) {
        return partial;
    }
    const Tensor tensor = e.builder().at(partial);
    std::vector<Extent> shape = tensor.shape;
    shape.front() = e.sizes().tokens();
    const TensorId own = e.activation(name, tensor.dtype, shape);
    tensor_collective(e, Collective::reduce_scatter, {partial}, {own});
    return own;
}

TensorId rms_norm(Emitter& e, const std::string& weight, const std::string& output, TensorId input,
                  std::int64_t width) {
    const Extent rows = e.builder().at(input).shape.front();
    const TensorId scale = e.parameter(weight + ".weight", DType::bf16, {width});
    const TensorId out = e.activation(output, rows, width);
    e.compute(KernelId::rms_norm, {rows, width}, {input, scale}, {out});
    return out;
}

TensorId rms_norm_backward(Emitter& e, const std::string& weight, const std::string& output,
                           TensorId input, TensorId grad, std::int64_t width, TensorId residual) {
    const Tensor& x = e.builder().at(input);
    const Extent rows = x.shape.front();
    const Extent out_width = x.shape.back();  // the norm may cover a part of the row (kv_a)
    const TensorId scale = e.parameter(weight + ".weight", DType::bf16, {width});
    const TensorId out = e.activation(output, DType::bf16, {rows, out_width});
    const TensorId weight_grad = e.gradient(weight + ".weight", {width});
    std::vector<TensorId> inputs = {input, grad, scale};
    if (residual.valid()) {
        inputs.push_back(residual);
    }
    e.compute(KernelId::rms_norm_backward, {rows, width}, inputs, {out, weight_grad});
    return out;
}

TensorId residual_add(Emitter& e, const std::string& output, std::vector<TensorId> terms,
                      std::int64_t width) {
    const Extent rows = e.builder().at(terms.front()).shape.front();
    const TensorId out = e.activation(output, rows, width);
    e.compute(KernelId::residual_add, {rows, width}, std::move(terms), {out});
    return out;
}

double row_bytes(std::int64_t width, bool fp8) {
    return static_cast<double>(fp8 ? width + 4 * tiles(width) : 2 * width);
}

Operand operand(Emitter& e, const std::string& name, Extent rows, std::int64_t width, bool fp8) {
    Operand result;
    result.rows = rows;
    result.width = width;
    if (fp8) {
        result.data = e.activation(name + ".fp8", DType::e4m3, {rows, width});
        result.scale = e.activation(name + ".scale", DType::f32, {rows, tiles(width)});
    } else {
        result.data = e.activation(name, rows, width);
    }
    return result;
}

Operand quantize(Emitter& e, const std::string& name, TensorId input, Extent rows,
                 std::int64_t width, bool fp8) {
    if (!fp8) {
        return {input, {}, rows, width};
    }
    Operand result = operand(e, name, rows, width, true);
    e.compute(KernelId::quantize_fp8, {rows, width}, {input}, {result.data, result.scale});
    return result;
}

Operand transposed_operand(Emitter& e, const std::string& name, Extent rows, std::int64_t width,
                           bool fp8, TensorId bf16) {
    Operand result;
    result.rows = rows;
    result.width = width;
    if (fp8) {
        result.data = e.activation(name + ".t.fp8", DType::e4m3, {width, rows});
        result.scale = e.activation(name + ".t.scale", DType::f32,
                                    {width, rows * (1.0 / static_cast<double>(kTile))});
    } else {
        result.data = bf16.valid() ? bf16 : e.activation(name, rows, width);
    }
    return result;
}

namespace {

Operand transpose_from(Emitter& e, const std::string& name, Extent rows, std::int64_t width,
                       bool fp8, std::vector<TensorId> inputs) {
    const Operand result = transposed_operand(e, name, rows, width, fp8, inputs.front());
    if (fp8) {
        e.compute(KernelId::requantize_transpose_fp8, {rows, width}, std::move(inputs),
                  {result.data, result.scale});
    }
    return result;
}

}  // namespace

Operand transpose(Emitter& e, const std::string& name, const Operand& input) {
    std::vector<TensorId> inputs = {input.data};
    if (input.fp8()) {
        inputs.push_back(input.scale);
    }
    return transpose_from(e, name, input.rows, input.width, input.fp8(), std::move(inputs));
}

Operand transpose_bf16(Emitter& e, const std::string& name, TensorId input, Extent rows,
                       std::int64_t width, bool fp8) {
    return transpose_from(e, name, rows, width, fp8, {input});
}

TensorId linear(Emitter& e, const std::string& weight, const std::string& output,
                const Operand& input, std::int64_t out_features, Grouping grouping) {
    const Weight w = weight_of(e, weight, out_features, input.width, input.fp8(), grouping.experts);
    const TensorId out = e.activation(output, input.rows, out_features);
    e.compute(gemm_kernel(input.fp8(), grouping.experts > 0),
              gemm_dims(input.rows, out_features, input.width, grouping),
              gemm_inputs(input.data, input.scale, w.data, w.scale, grouping), {out});
    return out;
}

TensorId linear_backward_input(Emitter& e, const std::string& weight, const std::string& output,
                               const Operand& grad, std::int64_t in_features, Grouping grouping) {
    const Weight w = weight_of(e, weight, grad.width, in_features, grad.fp8(), grouping.experts);
    const TensorId out = e.activation(output, grad.rows, in_features);
    e.compute(gemm_kernel(grad.fp8(), grouping.experts > 0),
              gemm_dims(grad.rows, in_features, grad.width, grouping),
              gemm_inputs(grad.data, grad.scale, w.data, w.scale, grouping), {out});
    return out;
}

void linear_backward_weight(Emitter& e, const std::string& weight, const Operand& grad_transposed,
                            const Operand& input_transposed, Grouping grouping) {
    R1_CHECK(grad_transposed.fp8() == input_transposed.fp8());
    std::vector<Extent> shape;
    if (grouping.experts > 0) {
        shape.emplace_back(grouping.experts);
    }
    shape.emplace_back(grad_transposed.width);
    shape.emplace_back(input_transposed.width);
    const TensorId grad = e.gradient(weight + ".weight", std::move(shape));
    e.compute(
        wgrad_kernel(grad_transposed.fp8(), grouping.experts > 0),
        gemm_dims(grad_transposed.width, input_transposed.width, grad_transposed.rows, grouping),
        gemm_inputs(grad_transposed.data, grad_transposed.scale, input_transposed.data,
                    input_transposed.scale, grouping),
        {grad});
}

}  // namespace r1
