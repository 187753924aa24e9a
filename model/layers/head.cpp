// The ends of the model: embedding, head and loss, and the MTP module. All in BF16
// (arXiv 2412.19437, sec. 3.3.1).
#include "model/layers/layers.hpp"

namespace r1 {

namespace {

TensorId ids(Emitter& e, const char* name) {
    return e.builder().tensor(name, DType::i32, {e.sizes().group_tokens()}, TensorRole::input);
}

// Words are shared out over the tensor-parallel group.
std::int64_t local_vocabulary(const Emitter& e) {
    return e.config().vocab_size / e.sizes().tensor_parallel;
}

TensorId embedding_table(Emitter& e) {
    return e.builder().tensor("model.embed_tokens.weight", DType::bf16,
                              {local_vocabulary(e), e.config().hidden_size}, TensorRole::parameter);
}

TensorId embedding_gradient(Emitter& e) {
    return e.builder().tensor("model.embed_tokens.weight.grad", DType::f32,
                              {local_vocabulary(e), e.config().hidden_size}, TensorRole::gradient);
}

// Where words are shared out, a row is the sum of all ranks' rows: zeros but for one.
void embed(Emitter& e, TensorId tokens, TensorId output) {
    const bool is_part = e.sizes().tensor_parallel > 1;
    const std::int64_t rows = e.sizes().group_tokens();
    const TensorId found =
        is_part ? e.activation("embedding.partial", rows, e.config().hidden_size) : output;
    e.compute(KernelId::embedding, {rows, e.config().hidden_size}, {tokens, embedding_table(e)},
              {found});
    if (is_part) {
        tensor_collective(e, Collective::reduce_scatter, {found}, {output});
    }
}

void embed_backward(Emitter& e, TensorId table_grad, TensorId tokens, TensorId output_grad) {
    e.compute(KernelId::embedding_backward, {e.sizes().group_tokens(), e.config().hidden_size},
              {tokens, gather_tokens(e, "embedding.grad", output_grad)}, {table_grad});
}

TensorId sampled_tokens(Emitter& e) {
    return e.builder().tensor("next_tokens", DType::i32, {e.sizes().tokens()});
}

// Head and loss of the trunk or of the MTP module; both share the head's weight.
struct Head {
    Emitter& e;
    const char* norm;  // name of the norm's weight
    const char* labels;
    bool feeds_mtp;  // the normed input has a second reader

    std::int64_t own_tokens = e.sizes().tokens();
    std::int64_t tokens = e.sizes().group_tokens();  // whose logits of some words these are
    std::int64_t hidden = e.config().hidden_size;
    std::int64_t vocab = local_vocabulary(e);

    [[nodiscard]] TensorId own_normed() const {
        return e.activation("final_norm", own_tokens, hidden);
    }
    [[nodiscard]] TensorId normed() const { return gathered(e, "final_norm", own_normed()); }
    [[nodiscard]] TensorId logits() const {
        return e.activation("logits", DType::bf16, {tokens, vocab});
    }
    [[nodiscard]] TensorId logits_grad() const {
        return e.activation("logits.grad", DType::bf16, {tokens, vocab});
    }
    [[nodiscard]] TensorId of_token(const char* name) const {
        return e.activation(name, DType::f32, {tokens});
    }
    // Of the rank's words, or of all.
    [[nodiscard]] TensorId log_sum_exp() const {
        return of_token(e.sizes().tensor_parallel == 1 ? "log_sum_exp" : "log_sum_exp.whole");
    }
    [[nodiscard]] TensorId weight() const {
        return e.builder().tensor(
            e.config().tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight",
            DType::bf16, {vocab, hidden}, TensorRole::parameter);
    }

    void predict(TensorId input) const {
        gather_tokens(e, "final_norm", rms_norm(e, norm, "final_norm", input, hidden));
        e.compute(KernelId::gemm_bf16, {tokens, vocab, hidden}, {normed(), weight()}, {logits()});
    }

    void forward(TensorId input) const {
        predict(input);
        e.compute(KernelId::cross_entropy, {tokens, vocab}, {logits(), ids(e, labels)},
                  {of_token("nll"), of_token("log_sum_exp")});
        if (e.sizes().tensor_parallel > 1) {
            tensor_collective(e, Collective::all_reduce, {of_token("nll"), of_token("log_sum_exp")},
                              {of_token("nll.whole"), log_sum_exp()});
        }
    }

    void backward_input(TensorId input, TensorId input_grad) const {
        e.compute(KernelId::cross_entropy_backward, {tokens, vocab},
                  {logits(), log_sum_exp(), ids(e, labels)}, {logits_grad()});
        TensorId grad = e.activation(partial_name(e, "final_norm.grad"), tokens, hidden);
        e.compute(KernelId::gemm_bf16, {tokens, hidden, vocab}, {logits_grad(), weight()}, {grad});
        grad = scatter_tokens(e, "final_norm.grad", grad);
        if (feeds_mtp) {
            grad = residual_add(e, "final_norm.grad.sum",
                                {grad, e.activation("final_norm.grad.mtp", own_tokens, hidden)},
                                hidden);
        }
        const TensorId scale = e.parameter(std::string(norm) + ".weight", DType::bf16, {hidden});
        const TensorId scale_grad = e.gradient(std::string(norm) + ".weight", {hidden});
        e.compute(KernelId::rms_norm_backward, {own_tokens, hidden}, {input, grad, scale},
                  {input_grad, scale_grad});
    }

    void backward_weight() const {
        const TensorId grad = e.config().tie_word_embeddings
                                  ? embedding_gradient(e)
                                  : e.builder().tensor("lm_head.weight.grad", DType::f32,
                                                       {vocab, hidden}, TensorRole::gradient);
        e.compute(KernelId::gemm_bf16_wgrad, {vocab, hidden, tokens}, {logits_grad(), normed()},
                  {grad});
    }
};

Head trunk_head(Emitter& e) {
    return {e, "model.norm", "labels", e.config().num_nextn_predict_layers > 0};
}

Head mtp_head(Emitter& e) { return {e, "shared_head.norm", "mtp.labels", false}; }

struct MtpEntry {
    explicit MtpEntry(Emitter& emitter) : e(emitter) {}

    Emitter& e;
    std::int64_t tokens = e.sizes().tokens();
    std::int64_t hidden = e.config().hidden_size;

    [[nodiscard]] TensorId act(const char* name) const {
        return e.activation(name, tokens, hidden);
    }
    [[nodiscard]] TensorId trunk() const {
        return e.builder().tensor("final_norm", DType::bf16, {tokens, hidden});
    }
    // The token after each row's own: given, or while decoding, just sampled.
    [[nodiscard]] TensorId next_tokens() const {
        return e.sizes().cache == CacheUse::decode ? sampled_tokens(e) : ids(e, "mtp.tokens");
    }
    [[nodiscard]] Operand joined() const {
        return {e.activation("joined", tokens, 2 * hidden), {}, tokens, 2 * hidden};
    }
};

}  // namespace

void embedding_forward(Emitter& e, TensorId output) { embed(e, ids(e, "tokens"), output); }

void embedding_backward(Emitter& e, TensorId output_grad) {
    const TensorId table_grad = embedding_gradient(e);
    embed_backward(e, table_grad, ids(e, "tokens"), output_grad);
}

void head_forward(Emitter& e, TensorId input) { trunk_head(e).forward(input); }
void head_backward_input(Emitter& e, TensorId input, TensorId input_grad) {
    trunk_head(e).backward_input(input, input_grad);
}
void head_backward_weight(Emitter& e) { trunk_head(e).backward_weight(); }

void sample_forward(Emitter& e, TensorId input) {
    const Head head = trunk_head(e);
    head.predict(input);
    e.compute(KernelId::sample, {head.tokens, head.vocab}, {head.logits(), ids(e, "randoms")},
              {sampled_tokens(e)});
}

void final_norm_forward(Emitter& e, TensorId input) {
    rms_norm(e, "model.norm", "final_norm", input, e.config().hidden_size);
}

void mtp_entry_forward(Emitter& e, TensorId output) {
    const MtpEntry mtp(e);
    const TensorId embedded = mtp.act("embedded");
    embed(e, mtp.next_tokens(), embedded);
    const TensorId a = rms_norm(e, "enorm", "embedded.norm", embedded, mtp.hidden);
    const TensorId b = rms_norm(e, "hnorm", "trunk.norm", mtp.trunk(), mtp.hidden);
    e.compute(KernelId::concat, {mtp.tokens, 2 * mtp.hidden}, {a, b}, {mtp.joined().data});
    const TensorId weight =
        e.parameter("eh_proj.weight", DType::bf16, {mtp.hidden, 2 * mtp.hidden});
    e.compute(KernelId::gemm_bf16, {mtp.tokens, mtp.hidden, 2 * mtp.hidden},
              {mtp.joined().data, weight}, {output});
}

void mtp_entry_backward_input(Emitter& e, TensorId output_grad) {
    const MtpEntry mtp(e);
    const TensorId joined_grad = linear_backward_input(
        e, "eh_proj", "joined.grad", {output_grad, {}, mtp.tokens, mtp.hidden}, 2 * mtp.hidden);
    const TensorId a = mtp.act("embedded.norm.grad");
    const TensorId b = mtp.act("trunk.norm.grad");
    e.compute(KernelId::split, {mtp.tokens, 2 * mtp.hidden}, {joined_grad}, {a, b});
    rms_norm_backward(e, "enorm", "embedded.grad", mtp.act("embedded"), a, mtp.hidden);
    const TensorId scale = e.parameter("hnorm.weight", DType::bf16, {mtp.hidden});
    const TensorId scale_grad = e.gradient("hnorm.weight", {mtp.hidden});
    e.compute(KernelId::rms_norm_backward, {mtp.tokens, mtp.hidden}, {mtp.trunk(), b, scale},
              {e.builder().tensor("final_norm.grad.mtp", DType::bf16, {mtp.tokens, mtp.hidden}),
               scale_grad});
}

void mtp_entry_backward_weight(Emitter& e, TensorId output_grad) {
    const MtpEntry mtp(e);
    linear_backward_weight(e, "eh_proj", {output_grad, {}, mtp.tokens, mtp.hidden}, mtp.joined());
    const TensorId table_grad = embedding_gradient(e);
    const TensorId tokens = ids(e, "mtp.tokens");
    embed_backward(e, table_grad, tokens, mtp.act("embedded.grad"));
}

void mtp_head_forward(Emitter& e, TensorId input) { mtp_head(e).forward(input); }
void mtp_draft_forward(Emitter& e, TensorId input) {
    const Head head = mtp_head(e);
    head.predict(input);
    e.compute(KernelId::argmax, {head.tokens, head.vocab}, {head.logits()},
              {e.activation("draft", DType::i32, {head.tokens})});
}

void mtp_head_backward_input(Emitter& e, TensorId input, TensorId input_grad) {
    mtp_head(e).backward_input(input, input_grad);
}
void mtp_head_backward_weight(Emitter& e) { mtp_head(e).backward_weight(); }

}  // namespace r1
