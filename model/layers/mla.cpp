#include "model/layers/layers.hpp"

namespace r1 {

namespace {

struct Mla {
    explicit Mla(Emitter& emitter) : e(emitter), c(emitter.config()) {}

    // Latents are of the rank's own tokens; what is by heads is of the group's, for the rank's
    // heads.
    Emitter& e;
    const ModelConfig& c;
    std::int64_t tokens = e.sizes().tokens();
    std::int64_t head_tokens = e.sizes().group_tokens();
    bool fp8 = e.sizes().fp8();
    std::int64_t heads = c.num_attention_heads / e.sizes().tensor_parallel;
    std::int64_t query_width = heads * c.qk_head_dim();
    std::int64_t value_width = heads * c.v_head_dim;
    std::int64_t kv_width = heads * (c.qk_nope_head_dim + c.v_head_dim);
    std::int64_t kv_a_width = c.kv_lora_rank + c.qk_rope_head_dim;

    [[nodiscard]] TensorId act(const char* name, std::int64_t width) const {
        return e.activation(name, tokens, width);
    }
    [[nodiscard]] TensorId by_head(const char* name, std::int64_t width) const {
        return e.activation(name, head_tokens, width);
    }
    [[nodiscard]] TensorId lse() const {
        return e.activation("lse", DType::f32, {head_tokens, heads});
    }
    [[nodiscard]] TensorId q_latent() const {
        return gathered(e, "q_a_norm", act("q_a_norm", c.q_lora_rank));
    }
    [[nodiscard]] TensorId kv_latent() const {
        return gathered(e, "kv_a_norm", act("kv_a_norm", c.kv_lora_rank));
    }
    // Where rope finds the rotary keys that heads share: beside the latents, or gathered alone.
    [[nodiscard]] TensorId rotary_keys() const {
        return e.sizes().tensor_parallel == 1 ? act("kv_a", kv_a_width)
                                              : by_head("k_rope", c.qk_rope_head_dim);
    }

    void latent_norms() const {
        if (c.q_lora_rank > 0) {
            rms_norm(e, "q_a_layernorm", "q_a_norm", act("q_a", c.q_lora_rank), c.q_lora_rank);
        }
        rms_norm(e, "kv_a_layernorm", "kv_a_norm", act("kv_a", kv_a_width), c.kv_lora_rank);
    }

    // What all heads need of every token.
    void gather_latents() const {
        if (e.sizes().tensor_parallel > 1) {
            tensor_collective(e, Collective::all_gather,
                              {act("q_a_norm", c.q_lora_rank), act("kv_a_norm", c.kv_lora_rank),
                               act("kv_a", kv_a_width)},
                              {q_latent(), kv_latent(), rotary_keys()});
        }
    }

    void query_up_projection() const {
        if (c.q_lora_rank > 0) {
            const Operand q_a =
                quantize(e, "q_a_norm", q_latent(), head_tokens, c.q_lora_rank, fp8);
            linear(e, "q_b_proj", "q", q_a, query_width);
        }
    }

    // Up-projections of the latents, and the rotated queries and assembled keys.
    void up_projections() const {
        gather_latents();
        query_up_projection();
        const Operand kv_a = quantize(e, "kv_a_norm", kv_latent(), head_tokens, c.kv_lora_rank,
                                      fp8 && !e.sizes().inference);
        const TensorId kv = linear(e, "kv_b_proj", "kv", kv_a, kv_width);
        e.compute(KernelId::rope, {head_tokens, 2 * query_width},
                  {by_head("q", query_width), rotary_keys(), kv},
                  {by_head("q_rope", query_width), by_head("k", query_width)});
    }

    [[nodiscard]] std::vector<Extent> attention_dims() const {
        return {e.sizes().sequences, e.sizes().sequence_length, heads, c.qk_head_dim(),
                c.v_head_dim};
    }

    [[nodiscard]] TensorId positions() const {
        return e.builder().tensor("positions", DType::i32, {tokens}, TensorRole::input);
    }
    [[nodiscard]] TensorId cache() const {
        return e.cache("latent_cache", DType::bf16,
                       {Extent(Symbol::cache_capacity) * static_cast<double>(e.sizes().sequences),
                        kv_a_width});
    }

    // The new tokens' rows of the cache: normed latents, and the rotated keys that heads share.
    void fill_cache() const {
        e.compute(KernelId::cache_latent, {tokens, kv_a_width},
                  {act("kv_a_norm", c.kv_lora_rank), act("kv_a", kv_a_width), positions()},
                  {cache()});
    }

    // Attention of the new tokens over the cache: "o".
    void cached_attention() const {
        query_up_projection();
        e.compute(KernelId::rope_query, {tokens, c.query_dim()},
                  {act("q", c.query_dim()), positions()}, {act("q_rope", c.query_dim())});
        const TensorId kv_b =
            e.parameter("kv_b_proj.weight", DType::bf16, {kv_width, c.kv_lora_rank});
        e.compute(
            e.sizes().cache == CacheUse::prefill ? KernelId::mla_prefill : KernelId::mla_decode,
            {e.sizes().sequences, e.sizes().sequence_length, c.num_attention_heads,
             c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim, c.kv_lora_rank,
             Symbol::past_tokens},
            {act("q_rope", c.query_dim()), cache(), kv_b, positions()}, {act("o", c.value_dim())});
    }

    // Attention of whole sequences: "o".
    void whole_attention() const {
        up_projections();
        e.compute(
            KernelId::mla_attention, attention_dims(),
            {by_head("q_rope", query_width), by_head("k", query_width), by_head("kv", kv_width)},
            {by_head("o", value_width), lse()});
    }

    // Attention outputs are stored in 12 bits under FP8 (E5M6, sec. 3.3.3), else in BF16.
    [[nodiscard]] TensorId stored_output() const {
        return fp8 ? e.activation("o.stored", DType::e5m6, {head_tokens, value_width})
                   : by_head("o", value_width);
    }
};

}  // namespace

void mla_forward(Emitter& layer, TensorId input) {
    Emitter e = layer.sub("self_attn.");
    const Mla mla(e);
    const ModelConfig& c = mla.c;
    const TensorId h = rms_norm(layer, "input_layernorm", "self_attn.input", input, c.hidden_size);
    const Operand x = quantize(e, "input", h, mla.tokens, c.hidden_size, mla.fp8);
    if (c.q_lora_rank > 0) {
        linear(e, "q_a_proj", "q_a", x, c.q_lora_rank);
    } else {
        linear(e, "q_proj", "q", x, c.query_dim());
    }
    linear(e, "kv_a_proj_with_mqa", "kv_a", x, mla.kv_a_width);
    mla.latent_norms();
    if (e.sizes().cache == CacheUse::none) {
        mla.whole_attention();
    } else {
        mla.fill_cache();
        mla.cached_attention();
    }
    const TensorId o = mla.by_head("o", mla.value_width);
    if (mla.fp8 && !e.sizes().inference) {
        e.compute(KernelId::quantize_fp8, {mla.head_tokens, mla.value_width}, {o},
                  {mla.stored_output()});
    }
    const Operand o_operand = quantize(e, "o", o, mla.head_tokens, mla.value_width, mla.fp8);
    const TensorId out = scatter_tokens(
        e, "output", linear(e, "o_proj", partial_name(e, "output"), o_operand, c.hidden_size));
    residual_add(layer, "attn.residual", {input, out}, c.hidden_size);
}

void mla_cache_forward(Emitter& layer, TensorId input) {
    Emitter e = layer.sub("self_attn.");
    const Mla mla(e);
    const ModelConfig& c = mla.c;
    const TensorId h = rms_norm(layer, "input_layernorm", "self_attn.input", input, c.hidden_size);
    linear(e, "kv_a_proj_with_mqa", "kv_a",
           quantize(e, "input", h, mla.tokens, c.hidden_size, mla.fp8), mla.kv_a_width);
    rms_norm(e, "kv_a_layernorm", "kv_a_norm", mla.act("kv_a", mla.kv_a_width), c.kv_lora_rank);
    mla.fill_cache();
}

namespace {

// Down to the gradients of the latents' projections; the operands of the weight gradients.
void backward_latents(const Mla& mla, TensorId dq, TensorId dkv, TensorId dk_rope) {
    Emitter& e = mla.e;
    const ModelConfig& c = mla.c;
    const Operand dkv_q = quantize(e, "kv.grad", dkv, mla.head_tokens, mla.kv_width, mla.fp8);
    TensorId dkv_norm = linear_backward_input(e, "kv_b_proj", partial_name(e, "kv_a_norm.grad"),
                                              dkv_q, c.kv_lora_rank);
    transpose(e, "kv.grad", dkv_q);
    transpose_bf16(e, "kv_a_norm", mla.kv_latent(), mla.head_tokens, c.kv_lora_rank, mla.fp8);
    const Operand dq_q = quantize(e, "q.grad", dq, mla.head_tokens, mla.query_width, mla.fp8);
    transpose(e, "q.grad", dq_q);
    if (c.q_lora_rank > 0) {
        TensorId dq_norm = linear_backward_input(e, "q_b_proj", partial_name(e, "q_a_norm.grad"),
                                                 dq_q, c.q_lora_rank);
        transpose_bf16(e, "q_a_norm", mla.q_latent(), mla.head_tokens, c.q_lora_rank, mla.fp8);
        if (e.sizes().tensor_parallel > 1) {
            const std::vector<TensorId> partial = {dq_norm, dkv_norm, dk_rope};
            dq_norm = mla.act("q_a_norm.grad", c.q_lora_rank);
            dkv_norm = mla.act("kv_a_norm.grad", c.kv_lora_rank);
            dk_rope = mla.act("k_rope.grad", c.qk_rope_head_dim);
            tensor_collective(e, Collective::reduce_scatter, partial, {dq_norm, dkv_norm, dk_rope});
        }
        rms_norm_backward(e, "q_a_layernorm", "q_a.grad", mla.act("q_a", c.q_lora_rank), dq_norm,
                          c.q_lora_rank);
    }
    rms_norm_backward(e, "kv_a_layernorm", "kv_a.grad", mla.act("kv_a", mla.kv_a_width), dkv_norm,
                      c.kv_lora_rank, dk_rope);
}

// Gradient of the normed input, through both down-projections.
TensorId backward_down_projections(const Mla& mla) {
    Emitter& e = mla.e;
    const ModelConfig& c = mla.c;
    const Operand dkv_a = quantize(e, "kv_a.grad", mla.act("kv_a.grad", mla.kv_a_width), mla.tokens,
                                   mla.kv_a_width, mla.fp8);
    const TensorId from_kv =
        linear_backward_input(e, "kv_a_proj_with_mqa", "input.grad.kv", dkv_a, c.hidden_size);
    transpose(e, "kv_a.grad", dkv_a);
    TensorId from_q;
    if (c.q_lora_rank > 0) {
        const Operand dq_a = quantize(e, "q_a.grad", mla.act("q_a.grad", c.q_lora_rank), mla.tokens,
                                      c.q_lora_rank, mla.fp8);
        from_q = linear_backward_input(e, "q_a_proj", "input.grad.q", dq_a, c.hidden_size);
        transpose(e, "q_a.grad", dq_a);
    } else {
        const Operand dq = operand(e, "q.grad", mla.tokens, mla.query_width, mla.fp8);
        from_q = linear_backward_input(e, "q_proj", "input.grad.q", dq, c.hidden_size);
    }
    return residual_add(e, "input.grad", {from_q, from_kv}, c.hidden_size);
}

}  // namespace

void mla_backward_input(Emitter& layer, TensorId input, TensorId residual_grad,
                        TensorId input_grad) {
    Emitter e = layer.sub("self_attn.");
    const Mla mla(e);
    const ModelConfig& c = mla.c;
    const Operand dout = quantize(e, "output.grad", gather_tokens(e, "output.grad", residual_grad),
                                  mla.head_tokens, c.hidden_size, mla.fp8);
    TensorId o = mla.stored_output();
    if (mla.fp8) {
        const TensorId restored = mla.by_head("o.restored", mla.value_width);
        e.compute(KernelId::dequantize_fp8, {mla.head_tokens, mla.value_width}, {o}, {restored});
        o = restored;
    }
    const TensorId d_o = linear_backward_input(e, "o_proj", "o.grad", dout, mla.value_width);
    transpose_bf16(e, "o", o, mla.head_tokens, mla.value_width, mla.fp8);
    transpose(e, "output.grad", dout);
    if (e.sizes().recompute.rms_norm) {
        mla.latent_norms();
    }
    if (e.sizes().recompute.mla_up_projection) {
        mla.up_projections();
    }
    const TensorId dq_rope = mla.by_head("q_rope.grad", mla.query_width);
    const TensorId dk = mla.by_head("k.grad", mla.query_width);
    const TensorId dv = mla.by_head("v.grad", mla.value_width);
    e.compute(KernelId::mla_attention_backward, mla.attention_dims(),
              {d_o, mla.by_head("q_rope", mla.query_width), mla.by_head("k", mla.query_width),
               mla.by_head("kv", mla.kv_width), o, mla.lse()},
              {dq_rope, dk, dv});
    const TensorId dq = mla.by_head("q.grad", mla.query_width);
    const TensorId dkv = mla.by_head("kv.grad", mla.kv_width);
    const TensorId dk_rope =
        mla.by_head(partial_name(e, "k_rope.grad").c_str(), c.qk_rope_head_dim);
    e.compute(KernelId::rope_backward, {mla.head_tokens, 2 * mla.query_width}, {dq_rope, dk, dv},
              {dq, dkv, dk_rope});
    backward_latents(mla, dq, dkv, dk_rope);
    const TensorId dh = backward_down_projections(mla);
    const TensorId h =
        e.sizes().recompute.rms_norm
            ? rms_norm(layer, "input_layernorm", "self_attn.input", input, c.hidden_size)
            : e.activation("input", mla.tokens, c.hidden_size);
    transpose_bf16(e, "input", h, mla.tokens, c.hidden_size, mla.fp8);
    const TensorId weight = layer.parameter("input_layernorm.weight", DType::bf16, {c.hidden_size});
    const TensorId weight_grad = layer.gradient("input_layernorm.weight", {c.hidden_size});
    layer.compute(KernelId::rms_norm_backward, {mla.tokens, c.hidden_size},
                  {input, dh, weight, residual_grad}, {input_grad, weight_grad});
}

void mla_backward_weight(Emitter& layer) {
    Emitter e = layer.sub("self_attn.");
    const Mla mla(e);
    const ModelConfig& c = mla.c;
    const TensorId output_grad = gathered(
        e, "output.grad", layer.activation("attn.residual.grad", mla.tokens, c.hidden_size));
    struct Side {
        const char* name;
        std::int64_t width;
        TensorId bf16{};
    };
    const auto wgrad = [&](const char* weight, std::int64_t rows, const Side& grad,
                           const Side& input) {
        linear_backward_weight(
            e, weight, transposed_operand(e, grad.name, rows, grad.width, mla.fp8, grad.bf16),
            transposed_operand(e, input.name, rows, input.width, mla.fp8, input.bf16));
    };
    const bool reads_gathered = !mla.fp8 && e.sizes().tensor_parallel > 1;
    const Side input{"input", c.hidden_size};
    // The order of the published trace.
    wgrad("o_proj", mla.head_tokens, {"output.grad", c.hidden_size, output_grad},
          {"o", mla.value_width});
    wgrad("kv_b_proj", mla.head_tokens, {"kv.grad", mla.kv_width},
          {"kv_a_norm", c.kv_lora_rank, reads_gathered ? mla.kv_latent() : TensorId{}});
    if (c.q_lora_rank > 0) {
        wgrad("q_b_proj", mla.head_tokens, {"q.grad", mla.query_width},
              {"q_a_norm", c.q_lora_rank, reads_gathered ? mla.q_latent() : TensorId{}});
    }
    wgrad("kv_a_proj_with_mqa", mla.tokens, {"kv_a.grad", mla.kv_a_width}, input);
    if (c.q_lora_rank > 0) {
        wgrad("q_a_proj", mla.tokens, {"q_a.grad", c.q_lora_rank}, input);
    } else {
        wgrad("q_proj", mla.tokens, {"q.grad", mla.query_width}, input);
    }
}

}  // namespace r1
