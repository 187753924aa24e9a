#include "model/layers/layers.hpp"

namespace r1 {

TensorId Ffn::forward(Emitter& e, const Operand& input) const {
    const bool fp8 = input.fp8();
    const Extent rows = input.rows;
    const TensorId gate_up = linear(e, "gate_up_proj", "gate_up", input, 2 * width, grouping);
    const Operand act = operand(e, "act", rows, width, fp8);
    std::vector<TensorId> inputs = {gate_up};
    if (route.valid()) {
        inputs.push_back(route);
    }
    std::vector<TensorId> outputs = {act.data};
    if (fp8) {
        outputs.push_back(act.scale);
    }
    e.compute(KernelId::swiglu, {rows, width}, inputs, outputs);
    const TensorId out = linear(e, "down_proj", is_part ? "output.partial" : "output", act,
                                e.config().hidden_size, grouping);
    if (!e.sizes().inference) {
        // The backward pass keeps the SwiGLU's inputs, in FP8 (arXiv 2412.19437, sec. 3.3.3).
        quantize(e, "gate_up", gate_up, rows, 2 * width, fp8);
    }
    return out;
}

TensorId Ffn::backward_input(Emitter& e, const Operand& output_grad) const {
    const bool fp8 = output_grad.fp8();
    const Extent rows = output_grad.rows;
    const TensorId d_act =
        linear_backward_input(e, "down_proj", "act.grad", output_grad, width, grouping);
    const Operand stored = operand(e, "gate_up", rows, 2 * width, fp8);
    TensorId gate_up = stored.data;
    if (fp8) {
        gate_up = e.activation("gate_up.restored", rows, 2 * width);
        e.compute(KernelId::dequantize_fp8, {rows, 2 * width}, {stored.data, stored.scale},
                  {gate_up});
    }
    std::vector<TensorId> inputs = {gate_up, d_act};
    const TensorId d_gate_up = e.activation("gate_up.grad", rows, 2 * width);
    std::vector<TensorId> outputs = {d_gate_up};
    const bool recompute = e.sizes().recompute.swiglu;
    if (recompute) {
        outputs.push_back(e.activation("act", rows, width));
    }
    if (route.valid()) {
        inputs.push_back(route);
        outputs.push_back(e.activation("route.grad", DType::f32, {rows}));
    }
    e.compute(KernelId::swiglu_backward, {rows, width}, inputs, outputs);
    if (recompute) {
        transpose_bf16(e, "act", outputs[1], rows, width, fp8);
    } else {
        transpose(e, "act", operand(e, "act", rows, width, fp8));
    }
    const Operand d_gate_up_q = quantize(e, "gate_up.grad", d_gate_up, rows, 2 * width, fp8);
    const TensorId dx =
        linear_backward_input(e, "gate_up_proj", is_part ? "input.grad.partial" : "input.grad",
                              d_gate_up_q, e.config().hidden_size, grouping);
    transpose(e, "gate_up.grad", d_gate_up_q);
    return dx;
}

void Ffn::backward_weight_down(Emitter& e, const Operand& output_grad_transposed) const {
    linear_backward_weight(e, "down_proj", output_grad_transposed,
                           transposed_operand(e, "act", output_grad_transposed.rows, width,
                                              output_grad_transposed.fp8()),
                           grouping);
}

void Ffn::backward_weight_gate_up(Emitter& e, const Operand& input_transposed) const {
    linear_backward_weight(e, "gate_up_proj",
                           transposed_operand(e, "gate_up.grad", input_transposed.rows, 2 * width,
                                              input_transposed.fp8()),
                           input_transposed, grouping);
}

namespace {

struct Dense {
    explicit Dense(Emitter& layer)
        : tokens(layer.sizes().tokens()),
          group_tokens(layer.sizes().group_tokens()),
          hidden(layer.config().hidden_size),
          fp8(layer.sizes().fp8()),
          ffn{layer.config().intermediate_size / layer.sizes().tensor_parallel,
              {},
              {},
              layer.sizes().tensor_parallel > 1} {}

    std::int64_t tokens;
    std::int64_t group_tokens;  // rows of the FFN
    std::int64_t hidden;
    bool fp8;
    Ffn ffn;
};

}  // namespace

void DenseFfn::forward(Emitter& layer) {
    const Dense dense(layer);
    Emitter e = layer.sub("mlp.");
    const TensorId residual = layer.activation("attn.residual", dense.tokens, dense.hidden);
    const TensorId h =
        rms_norm(layer, "post_attention_layernorm", "mlp.input", residual, dense.hidden);
    const TensorId partial =
        dense.ffn.forward(e, quantize(e, "input", gather_tokens(e, "input", h), dense.group_tokens,
                                      dense.hidden, dense.fp8));
    scatter_tokens(e, "output", partial);
}

void DenseFfn::finish_forward(Emitter& layer, TensorId output) {
    const Dense dense(layer);
    Emitter e = layer.sub("mlp.");
    layer.compute(KernelId::residual_add, {dense.tokens, dense.hidden},
                  {layer.activation("attn.residual", dense.tokens, dense.hidden),
                   e.activation("output", dense.tokens, dense.hidden)},
                  {output});
}

void DenseFfn::backward_input(Emitter& layer, TensorId output_grad) {
    const Dense dense(layer);
    Emitter e = layer.sub("mlp.");
    const TensorId residual = layer.activation("attn.residual", dense.tokens, dense.hidden);
    const Operand grad = quantize(e, "output.grad", gather_tokens(e, "output.grad", output_grad),
                                  dense.group_tokens, dense.hidden, dense.fp8);
    const TensorId dh = scatter_tokens(e, "input.grad", dense.ffn.backward_input(e, grad));
    transpose(e, "output.grad", grad);
    const TensorId h =
        layer.sizes().recompute.rms_norm
            ? rms_norm(layer, "post_attention_layernorm", "mlp.input", residual, dense.hidden)
            : e.activation("input", dense.tokens, dense.hidden);
    transpose_bf16(e, "input", gather_tokens(e, "input", h), dense.group_tokens, dense.hidden,
                   dense.fp8);
    rms_norm_backward(layer, "post_attention_layernorm", "attn.residual.grad", residual, dh,
                      dense.hidden, output_grad);
}

void DenseFfn::backward_weight(Emitter& layer, TensorId output_grad) {
    const Dense dense(layer);
    Emitter e = layer.sub("mlp.");
    dense.ffn.backward_weight_down(
        e, transposed_operand(e, "output.grad", dense.group_tokens, dense.hidden, dense.fp8,
                              gathered(e, "output.grad", output_grad)));
    const std::string input = dense.ffn.is_part && !dense.fp8 ? "input.gathered" : "input";
    dense.ffn.backward_weight_gate_up(
        e, transposed_operand(e, input, dense.group_tokens, dense.hidden, dense.fp8));
}

}  // namespace r1
