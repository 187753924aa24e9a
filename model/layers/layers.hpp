// The pieces that chunks are made of. Each function emits the ops of one piece of one layer; the
// pieces meet through tensors of agreed names, so that chunks may interleave the pieces of two
// layers in any order that dependencies allow.
#pragma once

#include <string>

#include "model/layers/emitter.hpp"

namespace r1 {

// Multi-head latent attention with its norms and residual (arXiv 2412.19437, sec. 2.1.1):
// input [tokens, hidden] -> "attn.residual" [tokens, hidden] = input + attention(norm(input)).
void mla_forward(Emitter& e, TensorId input);
// What a layer whose output nobody reads does for later steps: its rows of the latent cache.
void mla_cache_forward(Emitter& e, TensorId input);
// "attn.residual.grad" -> `input_grad`.
void mla_backward_input(Emitter& e, TensorId input, TensorId residual_grad, TensorId input_grad);
void mla_backward_weight(Emitter& e);

// SwiGLU FFN y = down(silu(gate(x)) * up(x)): the dense FFN, the shared expert, and all routed
// experts of a rank as one grouped FFN.
struct Ffn {
    std::int64_t width = 0;
    Grouping grouping;
    TensorId route;  // routed experts: router weights of the rows, applied to the activation
    // Columns of the whole FFN's: results are "output.partial" and "input.grad.partial", to be
    // summed over the tensor-parallel group.
    bool is_part = false;

    // Makes "output".
    TensorId forward(Emitter& e, const Operand& input) const;
    // Makes "input.grad", the transposed operands "act" and "gate_up.grad", and for routed experts
    // "route.grad".
    TensorId backward_input(Emitter& e, const Operand& output_grad) const;
    void backward_weight_down(Emitter& e, const Operand& output_grad_transposed) const;
    void backward_weight_gate_up(Emitter& e, const Operand& input_transposed) const;
};

// The second half of a decoder layer, in the pieces that overlapping needs apart. Both kinds read
// "attn.residual" and make `output`; backward goes from `output_grad` to "attn.residual.grad".
struct DenseFfn {
    static void forward(Emitter& e);
    static void finish_forward(Emitter& e, TensorId output);
    static void backward_input(Emitter& e, TensorId output_grad);
    static void backward_weight(Emitter& e, TensorId output_grad);
};

struct Moe {
    static void route(Emitter& e);             // norm, gate, top-k, quantised tokens
    static void dispatch_forward(Emitter& e);  // comm
    static void experts_forward(Emitter& e);   // shared, then routed
    static void combine_forward(Emitter& e);   // comm
    static void finish_forward(Emitter& e, TensorId output);
    static void combine_backward(Emitter& e, TensorId output_grad);  // comm
    static void experts_backward_input(Emitter& e, TensorId output_grad);
    static void experts_backward_weight(Emitter& e, TensorId output_grad);
    static void dispatch_backward(Emitter& e);  // comm
    static void route_backward(Emitter& e, TensorId output_grad);
    static void route_backward_weight(Emitter& e);
};

// Token embedding of the first stage: input ids -> `output`.
void embedding_forward(Emitter& e, TensorId output);
void embedding_backward(Emitter& e, TensorId output_grad);

// Final norm, head and next-token loss. "final_norm" also feeds the MTP module.
void head_forward(Emitter& e, TensorId input);
void head_backward_input(Emitter& e, TensorId input, TensorId input_grad);
void head_backward_weight(Emitter& e);

// Decoding: final norm, head and the next token of each row, "next_tokens".
void sample_forward(Emitter& e, TensorId input);
// "final_norm" alone, for the MTP module's cache in a prefill.
void final_norm_forward(Emitter& e, TensorId input);

// MTP module (arXiv 2412.19437, sec. 2.2): projection of [norm(embedding of the next token);
// norm(final_norm)] -> `output`; the decoder layer is an ordinary one; then its norm and head.
void mtp_entry_forward(Emitter& e, TensorId output);
void mtp_entry_backward_input(Emitter& e, TensorId output_grad);
void mtp_entry_backward_weight(Emitter& e, TensorId output_grad);
void mtp_head_forward(Emitter& e, TensorId input);
// Decoding: drafts the token after "next_tokens", "mtp.draft".
void mtp_draft_forward(Emitter& e, TensorId input);
void mtp_head_backward_input(Emitter& e, TensorId input, TensorId input_grad);
void mtp_head_backward_weight(Emitter& e);

}  // namespace r1
