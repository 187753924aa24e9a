// Mixture of experts with node-limited two-hop dispatch (arXiv 2412.19437, sec. 2.1.2 and 3.2).
#include "model/layers/layers.hpp"

namespace r1 {

namespace {

// Sizes, and the tensors that several pieces of the layer share.
struct Experts {
    explicit Experts(Emitter& emitter)
        : layer(emitter),
          e(emitter.sub("mlp.")),
          shared(emitter.sub("mlp.shared_experts.")),
          routed(emitter.sub("mlp.experts.")),
          c(emitter.config()),
          tokens(emitter.sizes().tokens()),
          fp8(emitter.sizes().fp8()),
          fp8_dispatch(emitter.sizes().precision.dispatch == DType::e4m3) {}

    Emitter& layer;
    Emitter e;
    Emitter shared;
    Emitter routed;
    const ModelConfig& c;
    std::int64_t tokens;
    bool fp8;
    bool fp8_dispatch;
    Extent rows = Symbol::routed_rows;
    Extent received = Symbol::received_tokens;

    [[nodiscard]] bool has_shared() const { return c.n_shared_experts > 0; }
    [[nodiscard]] Ffn shared_ffn() const {
        return {c.n_shared_experts * c.moe_intermediate_size, {}, {}};
    }
    Ffn routed_ffn() {
        const std::int64_t local = layer.sizes().local_experts;
        return {c.moe_intermediate_size,
                {local, routed.activation("offsets", DType::i32, {local + 1})},
                routed.activation("row_weights", DType::f32, {rows})};
    }

    TensorId residual() { return layer.activation("attn.residual", tokens, c.hidden_size); }
    TensorId input() { return e.activation("input", tokens, c.hidden_size); }
    TensorId logits() {
        return e.activation("gate.logits", DType::f32, {tokens, c.n_routed_experts});
    }
    TensorId indices() {
        return e.activation("gate.indices", DType::i32, {tokens, c.num_experts_per_tok});
    }
    TensorId weights() {
        return e.activation("gate.weights", DType::f32, {tokens, c.num_experts_per_tok});
    }
    // Of each received token: which local experts want it, and with what weights.
    TensorId route_map() {
        return e.activation("route", DType::f32, {received, 2 * c.num_experts_per_tok});
    }
    TensorId row_map() { return routed.activation("row_map", DType::i32, {rows}); }
    TensorId received_rows(const char* name) { return e.activation(name, received, c.hidden_size); }

    // The tokens' matrix as it goes on the wire.
    std::vector<TensorId> wire_tensors(const char* name, TensorId bf16) {
        if (!fp8_dispatch) {
            return {bf16};
        }
        const Operand quantized = operand(e, name, tokens, c.hidden_size, true);
        return {quantized.data, quantized.scale};
    }
    std::vector<TensorId> received_tensors(const char* name) {
        const Operand got = operand(e, name, received, c.hidden_size, fp8_dispatch);
        return got.fp8() ? std::vector<TensorId>{got.data, got.scale}
                         : std::vector<TensorId>{got.data};
    }

    // Tokens of each expert, added up over the micro-batches of a step as a gradient is.
    TensorId expert_load() {
        return e.builder().tensor(e.prefix() + "gate.expert_load", DType::i32, {c.n_routed_experts},
                                  TensorRole::gradient);
    }

    // `metadata`: of a token, beside its data.
    void communicate(Collective collective, bool as_fp8, std::int64_t metadata,
                     std::vector<TensorId> inputs, std::vector<TensorId> outputs) {
        CommOp comm;
        comm.collective = collective;
        comm.group = GroupKind::expert_parallel;
        comm.payload_bytes = row_bytes(c.hidden_size, as_fp8);
        comm.metadata_bytes = metadata;
        comm.tokens = tokens;
        e.builder().set_stream(Stream::comm);
        if (layer.sizes().local_experts < c.n_routed_experts) {
            inputs.push_back(notify(inputs, outputs.front()));
        }
        e.builder().communicate(comm, std::move(inputs), std::move(outputs));
        e.builder().set_stream(Stream::compute);
    }

    // Ranks tell each other what will come, once what they will send is there: to each of the other
    // how many rows for each of its experts, how many tokens, and how many to be forwarded.
    // DeepEP's notify_dispatch and cached_notify.
    TensorId notify(const std::vector<TensorId>& waits_for, TensorId announced) {
        const std::string name = e.builder().at(announced).name + ".counts";
        const TensorId counts =
            e.builder().tensor(name, DType::i32, {layer.sizes().local_experts + 2});
        CommOp comm;
        comm.collective = Collective::notify;
        comm.group = GroupKind::expert_parallel;
        comm.payload_bytes = bytes(e.builder().at(counts));
        e.builder().communicate(comm, waits_for, {counts});
        return counts;
    }

    // Rows of the local experts, in expert order, as the GEMMs take them. The forward pass also
    // makes the map that the backward pass goes by.
    Operand permute(const char* from, const char* to, bool forward) {
        Operand sorted = operand(routed, to, rows, c.hidden_size, fp8_dispatch);
        std::vector<TensorId> inputs = received_tensors(from);
        std::vector<TensorId> outputs = {sorted.data};
        if (sorted.fp8()) {
            outputs.push_back(sorted.scale);
        }
        inputs.push_back(forward ? route_map() : row_map());
        if (forward) {
            const Ffn ffn = routed_ffn();
            outputs.insert(outputs.end(), {row_map(), ffn.route, ffn.grouping.offsets});
        }
        routed.compute(KernelId::permute, {rows, c.hidden_size}, inputs, outputs);
        if (fp8_dispatch && !fp8) {
            const Operand restored = operand(routed, to, rows, c.hidden_size, false);
            routed.compute(KernelId::dequantize_fp8, {rows, c.hidden_size},
                           {sorted.data, sorted.scale}, {restored.data});
            return restored;
        }
        return fp8_dispatch ? sorted : quantize(routed, to, sorted.data, rows, c.hidden_size, fp8);
    }
};

}  // namespace

void Moe::route(Emitter& layer) {
    Experts x(layer);
    const std::int64_t experts = x.c.n_routed_experts;
    const TensorId h =
        rms_norm(layer, "post_attention_layernorm", "mlp.input", x.residual(), x.c.hidden_size);
    const TensorId gate = x.e.parameter("gate.weight", DType::bf16, {experts, x.c.hidden_size});
    x.e.compute(KernelId::gemm_bf16, {x.tokens, experts, x.c.hidden_size}, {h, gate}, {x.logits()});
    std::vector<TensorId> scores = {x.logits()};
    if (x.c.topk_method == TopkMethod::noaux_tc) {
        scores.push_back(x.e.parameter("gate.e_score_correction_bias", DType::f32, {experts}));
    }
    std::vector<TensorId> outputs = {x.indices(), x.weights()};
    if (!layer.sizes().inference) {
        outputs.push_back(x.expert_load());
    }
    x.e.compute(KernelId::router_topk, {x.tokens, experts}, scores, outputs);
    quantize(x.e, "input", h, x.tokens, x.c.hidden_size, x.fp8 || x.fp8_dispatch);
}

void Moe::dispatch_forward(Emitter& layer) {
    Experts x(layer);
    std::vector<TensorId> inputs = x.wire_tensors("input", x.input());
    inputs.insert(inputs.end(), {x.indices(), x.weights()});
    std::vector<TensorId> outputs = x.received_tensors("received");
    outputs.push_back(x.route_map());
    constexpr std::int64_t kRouteBytes = 4 + 4;  // an expert and its weight
    x.communicate(Collective::dispatch, x.fp8_dispatch, kRouteBytes * x.c.num_experts_per_tok,
                  inputs, outputs);
}

void Moe::experts_forward(Emitter& layer) {
    Experts x(layer);
    if (x.has_shared()) {
        x.shared_ffn().forward(x.shared, operand(x.e, "input", x.tokens, x.c.hidden_size, x.fp8));
    }
    const Operand rows = x.permute("received", "input", true);
    const TensorId out = x.routed_ffn().forward(x.routed, rows);
    x.routed.compute(KernelId::unpermute, {x.rows, x.c.hidden_size}, {out, x.row_map()},
                     {x.received_rows("received.output")});
}

void Moe::combine_forward(Emitter& layer) {
    Experts x(layer);
    x.communicate(Collective::combine, false, 0,
                  {x.received_rows("received.output"), x.route_map()},
                  {x.e.activation("routed.output", x.tokens, x.c.hidden_size)});
}

void Moe::finish_forward(Emitter& layer, TensorId output) {
    Experts x(layer);
    std::vector<TensorId> terms = {x.residual(),
                                   x.e.activation("routed.output", x.tokens, x.c.hidden_size)};
    if (x.has_shared()) {
        terms.push_back(x.shared.activation("output", x.tokens, x.c.hidden_size));
    }
    layer.compute(KernelId::residual_add, {x.tokens, x.c.hidden_size}, terms, {output});
}

void Moe::combine_backward(Emitter& layer, TensorId output_grad) {
    Experts x(layer);
    // The published trace runs this cast on the communication stream.
    x.e.builder().set_stream(Stream::comm);
    quantize(x.e, "output.grad", output_grad, x.tokens, x.c.hidden_size, x.fp8 || x.fp8_dispatch);
    x.e.builder().set_stream(Stream::compute);
    std::vector<TensorId> inputs = x.wire_tensors("output.grad", output_grad);
    inputs.insert(inputs.end(), {x.indices(), x.weights()});
    x.communicate(Collective::dispatch, x.fp8_dispatch, 0, inputs,
                  x.received_tensors("received.grad"));
}

void Moe::experts_backward_input(Emitter& layer, TensorId output_grad) {
    Experts x(layer);
    const std::int64_t hidden = x.c.hidden_size;
    if (x.has_shared()) {
        const Operand grad = x.fp8 ? operand(x.e, "output.grad", x.tokens, hidden, true)
                                   : Operand{output_grad, {}, x.tokens, hidden};
        x.shared_ffn().backward_input(x.shared, grad);
        transpose(x.e, "output.grad", grad);
    }
    const Operand rows = x.permute("received.grad", "output.grad", false);
    const TensorId dx = x.routed_ffn().backward_input(x.routed, rows);
    x.routed.compute(KernelId::unpermute, {x.rows, hidden}, {dx, x.row_map()},
                     {x.received_rows("received.input.grad")});
    const TensorId h = x.e.sizes().recompute.rms_norm ? rms_norm(layer, "post_attention_layernorm",
                                                                 "mlp.input", x.residual(), hidden)
                                                      : x.input();
    if (x.has_shared()) {
        transpose_bf16(x.e, "input", h, x.tokens, hidden, x.fp8);
    }
}

void Moe::experts_backward_weight(Emitter& layer, TensorId output_grad) {
    Experts x(layer);
    const std::int64_t hidden = x.c.hidden_size;
    if (x.has_shared()) {
        const Ffn shared = x.shared_ffn();
        shared.backward_weight_down(
            x.shared, transposed_operand(x.e, "output.grad", x.tokens, hidden, x.fp8, output_grad));
        shared.backward_weight_gate_up(x.shared,
                                       transposed_operand(x.e, "input", x.tokens, hidden, x.fp8));
    }
    const Ffn routed = x.routed_ffn();
    const auto rows = [&](const char* name) {
        return transpose(x.routed, name, operand(x.routed, name, x.rows, hidden, x.fp8));
    };
    const Operand output_rows = rows("output.grad");
    const Operand input_rows = rows("input");
    x.e.builder().set_stream(Stream::wgrad);
    routed.backward_weight_down(x.routed, output_rows);
    routed.backward_weight_gate_up(x.routed, input_rows);
    x.e.builder().set_stream(Stream::compute);
}

void Moe::dispatch_backward(Emitter& layer) {
    Experts x(layer);
    x.communicate(
        Collective::combine, false, 4 * x.c.num_experts_per_tok,
        {x.received_rows("received.input.grad"), x.route_map(),
         x.routed.activation("route.grad", DType::f32, {x.rows})},
        {x.e.activation("routed.input.grad", x.tokens, x.c.hidden_size),
         x.e.activation("gate.weights.grad", DType::f32, {x.tokens, x.c.num_experts_per_tok})});
}

void Moe::route_backward(Emitter& layer, TensorId output_grad) {
    Experts x(layer);
    const std::int64_t hidden = x.c.hidden_size;
    const std::int64_t experts = x.c.n_routed_experts;
    const TensorId d_logits = x.e.activation("gate.logits.grad", DType::f32, {x.tokens, experts});
    const TensorId d_weights =
        x.e.activation("gate.weights.grad", DType::f32, {x.tokens, x.c.num_experts_per_tok});
    x.e.compute(KernelId::router_topk_backward, {x.tokens, experts},
                {x.logits(), x.indices(), x.weights(), d_weights}, {d_logits});
    const TensorId from_gate = linear_backward_input(x.e, "gate", "gate.input.grad",
                                                     {d_logits, {}, x.tokens, experts}, hidden);
    std::vector<TensorId> terms = {x.e.activation("routed.input.grad", x.tokens, hidden),
                                   from_gate};
    if (x.has_shared()) {
        terms.push_back(x.shared.activation("input.grad", x.tokens, hidden));
    }
    const TensorId dh = residual_add(x.e, "input.grad", terms, hidden);
    rms_norm_backward(layer, "post_attention_layernorm", "attn.residual.grad", x.residual(), dh,
                      hidden, output_grad);
}

void Moe::route_backward_weight(Emitter& layer) {
    Experts x(layer);
    const std::int64_t experts = x.c.n_routed_experts;
    const TensorId d_logits = x.e.activation("gate.logits.grad", DType::f32, {x.tokens, experts});
    linear_backward_weight(x.e, "gate", {d_logits, {}, x.tokens, experts},
                           {x.input(), {}, x.tokens, x.c.hidden_size});
}

}  // namespace r1
